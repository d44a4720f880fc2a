"""A running Envoy that holds a workspace's policy: what is compiled is written, and later only what changed.

Files are written by rename in the compiler's order (secrets before the routes that name them), and what is no longer
needed is removed last. Envoy's own word, its counter of rejected updates, is asked after every change: the last good
configuration stays in force there, and the user is told.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path

from dataplane.compile import Configuration, Options, Plan, compile_envoy, make_plan
from dataplane.external_settings import ExternalSettings
from dataplane.secrets import CREDENTIAL_FILE, withdrawn
from groyne import clock
from groyne.envoy import Envoy, EnvoyError, reading_time
from groyne.external import beside
from groyne.placeholders import guards_for
from groyne.rundir import RunDirectory
from groyne.trust import NO_HOST, Trust
from groyne.watches import shortage
from groyne.workspace import Workspace

TAKEN_WITHIN = 3.0
ASK_EVERY = 0.02


@dataclass(slots=True, kw_only=True)
class Proxy:
    """Compiles, writes and remembers; `start` brings Envoy up on what `apply` wrote first."""

    directory: RunDirectory
    trust: Trust
    options: Options
    external: ExternalSettings | None = None
    """How Envoy treats ext-proc; None where there is none. Its filter is there before a rule needs it: listeners stay as they are."""

    sandbox_token: str = field(default="", repr=False)
    placeholders: Mapping[str, str] = field(default_factory=dict)
    """By credential: where they belong is the policy's to say, so each edit says it anew."""

    envoy: Envoy | None = None
    plan: Plan | None = None
    _written: dict[str, str] = field(default_factory=dict, repr=False)
    _left_over: AbstractSet[str] = frozenset()
    _rejected: int = 0

    def apply(self, workspace: Workspace) -> Configuration:
        """Writes what differs from what is there; `withdraw` comes when Envoy had the time to take it. Raises EnvoyError."""
        plan = make_plan(workspace.selection, workspace.template_passthrough)
        external = None if self.external is None else beside(self.directory.private, workspace, self.external, self.sandbox_token)
        options = replace(self.options, guards=guards_for(workspace, self.placeholders), external=external)
        leafs = self.trust.leafs(plan.intercepted_names or NO_HOST, clock.now())
        configuration = compile_envoy(plan, workspace.credentials.values, leafs, options)
        self._left_over = self._written.keys() - configuration.files.keys()
        if self.envoy and (short := shortage(configuration.files.keys() - self._written.keys())):
            raise EnvoyError(short)
        for name, text in configuration.files.items():
            self._replace(name, text)
        self.plan = plan
        return configuration

    def withdraw(self) -> None:
        """Takes away what `apply` needs no more. Credentials lose their value even where Envoy has not taken the rest."""
        for name in sorted(self._left_over):
            if name.startswith(CREDENTIAL_FILE):
                self._replace(name, withdrawn(self._written[name]))
            else:
                self.directory.remove(name)
                self._written.pop(name)
        self._left_over = frozenset()

    def _replace(self, name: str, text: str) -> None:
        if self._written.get(name) != text:
            self.directory.write(name, text)
            self._written[name] = text

    async def start(self, binary: Path, *, concurrency: int) -> None:
        if short := shortage(self._written):
            raise EnvoyError(short)
        self.envoy = await Envoy.start(binary, self.directory.private, concurrency=concurrency)
        self._rejected = await self.envoy.rejected_updates()

    async def in_force(self) -> bool:
        """Waits until Envoy obeys what was written; False where it refused it, or did not take it in time."""
        if self.envoy is None:
            return False
        tables = [text for name, text in self._written.items() if name.startswith("rds-")]
        wanted = {json.loads(text)["version_info"] for text in tables}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_WITHIN + reading_time(sum(map(len, tables)))):
                while not wanted <= await self.envoy.route_versions():  # noqa: ASYNC110 - Envoy announces nothing
                    await asyncio.sleep(ASK_EVERY)
        taken = wanted <= await self.envoy.route_versions()
        before, self._rejected = self._rejected, await self.envoy.rejected_updates()
        return taken and self._rejected == before

    async def stop(self) -> None:
        if self.envoy:
            await self.envoy.stop()
