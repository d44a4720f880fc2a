"""A running Envoy that holds a workspace's policy: what is compiled is written, and later only what changed.

Files are written by rename in the compiler's order (secrets before the routes that name them), and what is no longer
needed is removed last. Envoy's own word, its counter of rejected updates, is asked after every change: the last good
configuration stays in force there, and the user is told.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.compile import Configuration, Options, Plan, compile_envoy, make_plan
from groyne import clock
from groyne.envoy import Envoy
from groyne.rundir import RunDirectory
from groyne.trust import NO_HOST, Trust
from groyne.workspace import Workspace

SETTLE = 0.3


@dataclass(slots=True, kw_only=True)
class Proxy:
    """Compiles, writes and remembers; `start` brings Envoy up on what `apply` wrote first."""

    directory: RunDirectory
    trust: Trust
    options: Options
    envoy: Envoy | None = None
    plan: Plan | None = None
    _written: dict[str, str] = field(default_factory=dict, repr=False)
    _rejected: int = 0

    def apply(self, workspace: Workspace) -> Configuration:
        """Writes what differs from what is there."""
        plan = make_plan(workspace.selection, workspace.template_passthrough)
        leafs = self.trust.leafs(plan.intercepted_names or NO_HOST, clock.now())
        configuration = compile_envoy(plan, workspace.credentials.values, leafs, self.options)
        for name, text in configuration.files.items():
            if self._written.get(name) != text:
                self.directory.write(name, text)
        for name in self._written.keys() - configuration.files.keys():
            self.directory.remove(name)
        self._written = dict(configuration.files)
        self.plan = plan
        return configuration

    async def start(self, binary: Path, *, concurrency: int) -> None:
        self.envoy = await Envoy.start(binary, self.directory.private, concurrency=concurrency)
        self._rejected = await self.envoy.rejected_updates()

    async def newly_rejected(self) -> int:
        """Updates that Envoy refused since the last time this was asked."""
        if self.envoy is None:
            return 0
        await asyncio.sleep(SETTLE)
        total = await self.envoy.rejected_updates()
        new, self._rejected = total - self._rejected, total
        return new

    async def stop(self) -> None:
        if self.envoy:
            await self.envoy.stop()
