"""A directory or file of manifests as the source of snapshots: for `groyne run`, and for a gateway without a cluster.

It is read as `groyne check` reads it. When it changes it is read again; a file that cannot be read, as in the middle of being
written, leaves the snapshot as it is and is tried again with the next change.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from watchfiles import awatch

from extproc.feed import Swap
from extproc.snapshot import SecretData, Snapshot, Sources
from manifests.load import Manifests, load
from policy.compile import CompileResult, compile_program
from policy.program import Engine, Profile, ProfileRef
from policy.template_identity import template_identity

DEBOUNCE_MS = 50
ENGINES = frozenset(Engine)

log = logging.getLogger(__name__)


class ManifestFeed:
    """`interval` is how often a file system that tells nothing is looked at."""

    def __init__(self, path: Path, swap: Swap) -> None:
        self._path = path
        self._swap = swap
        self._last_good: Mapping[ProfileRef, Profile] = {}

    async def run(self) -> None:
        """Until cancelled. Raises OSError where there is nothing at the path."""
        if not self._path.exists():
            raise FileNotFoundError(f"{self._path}: there is no such file or directory")
        watched = self._path if self._path.is_dir() else self._path.parent
        changes = awatch(watched, debounce=DEBOUNCE_MS, step=DEBOUNCE_MS, recursive=self._path.is_dir())
        await self._read()
        async for _ in changes:
            await self._read()

    async def _read(self) -> None:
        manifests = await asyncio.to_thread(load, self._path)
        if not manifests.files:
            log.warning("there are no manifests: what was read last stays in force", extra={"path": str(self._path)})
            return
        compiled, snapshot = await asyncio.to_thread(build, manifests, self._last_good)
        self._last_good = compiled.in_force
        for ref, problems in compiled.problems.items():
            for problem in problems:
                log.warning("a profile has a problem", extra={"profile": str(ref), "reason": problem.reason, "field": problem.field})
        self._swap(snapshot)
        log.info("read the manifests", extra={"path": str(self._path), "profiles": len(compiled.program.profiles)})


def build(manifests: Manifests, last_good: Mapping[ProfileRef, Profile]) -> tuple[CompileResult, Snapshot]:
    compiled = compile_program([loaded.object for loaded in manifests.profiles.values()], last_good=last_good, engines=ENGINES)
    sources = Sources(
        program=compiled.program,
        secrets={
            name: SecretData(data=loaded.object.values, annotations=loaded.object.metadata.annotations)
            for name, loaded in manifests.secrets.items()
        },
        config_maps={name: loaded.object.data for name, loaded in manifests.config_maps.items()},
        templates={name: template_identity(loaded.object).labels for name, loaded in manifests.templates.items()},
    )
    return compiled, Snapshot(sources)
