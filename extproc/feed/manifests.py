"""A directory or file of manifests as the source of snapshots: for `groyne run`, and for a gateway without a cluster.

It is read as `groyne check` reads it, and again when it changes. A profile that does not compile any more, or whose file cannot be
read, as in the middle of being written, stays in force as it was; one that is gone is gone. A snapshot of one file says which of
the files that stood there it is: whoever replaces it by rename can wait until it is in force.
"""

import asyncio
import logging
import stat
from collections.abc import Mapping
from pathlib import Path

from watchfiles import awatch

from extproc.feed import Swap
from extproc.feed.pace import MANY, put_aside, uncollected
from extproc.snapshot import SecretData, Snapshot, Sources
from manifests.last_good import still_there, with_unreadable
from manifests.load import Manifests, load
from policy.compile import CompileResult, compile_program
from policy.program import Engine, Profile, ProfileRef
from policy.template_identity import template_identity

DEBOUNCE_MS = 50
LOOK_EVERY_MS = 700
ENGINES = frozenset(Engine)

log = logging.getLogger(__name__)


class ManifestFeed:
    def __init__(self, path: Path, swap: Swap) -> None:
        self._path = path
        self._swap = swap
        self._last_good: Mapping[ProfileRef, Profile] = {}
        self._version = ""

    async def run(self) -> None:
        """Until cancelled. Raises OSError where there is nothing at the path."""
        if not self._path.exists():
            raise FileNotFoundError(f"{self._path}: there is no such file or directory")
        watched = self._path if self._path.is_dir() else self._path.parent
        await self._read()
        # What happened until the watch began shows at its first time-out.
        unsure = True
        async for found in awatch(
            watched,
            debounce=DEBOUNCE_MS,
            step=DEBOUNCE_MS,
            recursive=self._path.is_dir(),
            rust_timeout=LOOK_EVERY_MS,
            yield_on_timeout=True,
        ):
            if found or unsure or version_of(self._path) != self._version:
                await self._read()
            unsure = unsure and bool(found)

    async def _read(self) -> None:
        with uncollected(many=len(self._last_good) >= MANY):
            await self._exchange()

    async def _exchange(self) -> None:
        version, manifests = await asyncio.to_thread(read, self._path)
        if version and version == self._version:
            # Something else changed in the file's directory.
            return
        self._version = version
        if not manifests.files:
            log.warning("there are no manifests: what was read last stays in force", extra={"path": str(self._path)})
            return
        compiled, snapshot = await asyncio.to_thread(build, manifests, self._last_good, version)
        profiles = snapshot.sources.program.profiles
        if not self._last_good and len(profiles) >= MANY:
            put_aside()
        self._last_good = {profile.ref: profile for profile in profiles}
        warn(manifests, compiled)
        self._swap(snapshot)
        log.info("read the manifests", extra={"path": str(self._path), "profiles": len(profiles)})


def warn(manifests: Manifests, compiled: CompileResult) -> None:
    for located in manifests.problems:
        if located.problem.fatal:
            said = {"reason": located.problem.reason, "field": located.problem.field}
            log.warning("a manifest has a problem", extra={"file": located.file, "line": located.line, **said})
    for ref, problems in compiled.problems.items():
        for problem in problems:
            log.warning("a profile has a problem", extra={"profile": str(ref), "reason": problem.reason, "field": problem.field})


def read(path: Path) -> tuple[str, Manifests]:
    """The version is that of the file that was read, however often it was replaced meanwhile."""
    while True:
        before = version_of(path)
        manifests = load(path)
        if version_of(path) == before:
            return before, manifests


def version_of(path: Path) -> str:
    """Of one file that is there; empty of anything else."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_ino}.{status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def build(manifests: Manifests, last_good: Mapping[ProfileRef, Profile], version: str = "") -> tuple[CompileResult, Snapshot]:
    kept = still_there(manifests, last_good)
    compiled = compile_program([loaded.object for loaded in manifests.profiles.values()], last_good=kept, engines=ENGINES)
    sources = Sources(
        program=with_unreadable(compiled.program, manifests, kept),
        secrets={
            name: SecretData(data=loaded.object.values, annotations=loaded.object.metadata.annotations)
            for name, loaded in manifests.secrets.items()
        },
        config_maps={name: loaded.object.data for name, loaded in manifests.config_maps.items()},
        templates={name: template_identity(loaded.object).labels for name, loaded in manifests.templates.items()},
        version=version,
    )
    return compiled, Snapshot(sources)
