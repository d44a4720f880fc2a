"""ext-proc beside a run's Envoy: started when a rule first needs it, told of every edit before Envoy is, started anew whenever it ends.

It reads what is in force from one private file and listens on sockets in the private directory, which the command cannot reach.
While it is away Envoy refuses what needs it. It dies with this process even when that is killed; its log goes to a file of the
run directory.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dataplane.external import External
from dataplane.external_settings import ExternalSettings
from groyne import output
from groyne.envoy import die_with_parent
from groyne.feed import feed
from groyne.rundir import RunDirectory
from groyne.workspace import Workspace
from policy.program import Engine, Selection

POD = "groyne-run"
"""What stands where a pod's name does in audit, in expressions, and for providers: there is one sandbox here, and this is it."""
SOCKET = "external.sock"
HEALTH_SOCKET = "external-health.sock"
LOG = "external.log"
OBJECTS = "external/objects.json"
"""In a directory of its own, because all that changes beside it is looked at."""
START_DEADLINE = 20.0
TAKEN_WITHIN = 10.0
STOP_DEADLINE = 5.0
ASK_EVERY = 0.02
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
STEADY = 10.0
"""Seconds after which an end is no longer taken for a start that failed."""


class ExternalError(Exception):
    """ext-proc does not start or does not take an edit; the message is fit for the user."""


def needed(selection: Selection) -> bool:
    return any(rule.engine is Engine.EXTPROC for rule in selection.rules)


def beside(directory: Path, workspace: Workspace, settings: ExternalSettings | None = None, token: str = "") -> External:
    """Where an Envoy of this directory finds it, and for whom it asks; `token` is what the sandbox shows to providers."""
    return External(
        address={"pipe": {"path": str(directory / SOCKET)}},
        identity=workspace.selection.identity,
        template=workspace.template.metadata.name if workspace.template else "",
        pod=POD,
        token=token,
        settings=settings or ExternalSettings(),
    )


@dataclass(slots=True, kw_only=True)
class ExtProc:
    """`config` is a file of ext-proc's own settings. `said` is told when it ended, for the user."""

    directory: RunDirectory
    config: Path | None = None
    said: Callable[[str], None] = output.say
    restarts: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    _begun: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def process_id(self) -> int:
        """Of the process that runs now; 0 where none does."""
        return self._process.pid if self._process else 0

    @property
    def started(self) -> bool:
        return self._process is not None

    async def tell(self, workspace: Workspace) -> None:
        """Returns when it decides by this workspace. Starts it where it is needed first. Raises ExternalError."""
        if not (self.started or needed(workspace.selection)):
            return
        (self.directory.private / OBJECTS).parent.mkdir(mode=0o700, exist_ok=True)
        self.directory.write(OBJECTS, feed(workspace))
        starting = not self.started
        if starting:
            await self._spawn()
            self._begun.set()
        await self._until(f"manifests/{self._version()}", starting=starting)

    async def obey(self, workspace: Workspace) -> None:
        """The same for an edit: what does not take it is ended, so that nothing is decided by rules that are gone."""
        try:
            await self.tell(workspace)
        except ExternalError as error:
            self.said(f"groyne: {error}; what needs it is refused until it has the edit")
            if self._process and self._process.returncode is None:
                self._process.kill()

    async def keep(self) -> None:
        """Starts it anew whenever it ends, until cancelled."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            process = await self._running()
            begun = loop.time()
            code = await process.wait()
            self.said(f"groyne: ext-proc ended ({ended(code)}); what needs it is refused until it is back")
            pause = FIRST_PAUSE if loop.time() - begun > STEADY else min(pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)
            self.restarts += 1
            await self._spawn()

    async def stop(self) -> None:
        """Open streams come to their end, but not for long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        await self._begun.wait()
        if self._process is None:
            raise ExternalError("it was never started")
        return self._process

    async def _spawn(self) -> None:
        for name in (SOCKET, HEALTH_SOCKET):
            self.directory.remove(name)
        with (self.directory.private / LOG).open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1"},
                preexec_fn=die_with_parent,
                umask=0o077,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        private = self.directory.private
        given = {
            "--manifests": str(private / OBJECTS),
            "--listen": f"unix:{private / SOCKET}",
            "--grpc-health": f"unix:{private / HEALTH_SOCKET}",
            "--identity": "metadata",
            "--health-port": "0",
            **({"--config": str(self.config)} if self.config else {}),
        }
        # The command has a loopback of its own: this one is the user's. What is decided stands in Envoy's access log, of which
        # the run's own audit is made: a second log would only grow.
        return [sys.executable, "-m", "extproc", "--audit-loopback", "--no-audit-log", *(part for pair in given.items() for part in pair)]

    def _version(self) -> str:
        """Which of the files that stood there one after the other this is."""
        status = (self.directory.private / OBJECTS).stat()
        return f"{status.st_ino}.{status.st_mtime_ns}"

    async def _until(self, service: str, *, starting: bool) -> None:
        from groyne.grpc_health import asking  # noqa: PLC0415 - every command would wait for gRPC to load, and few need it

        limit = START_DEADLINE if starting else TAKEN_WITHIN
        try:
            async with asyncio.timeout(limit), asking(f"unix:{self.directory.private / HEALTH_SOCKET}") as serves:
                while not await serves(service):
                    if starting:
                        self._refuse_if_ended()
                    await asyncio.sleep(ASK_EVERY)
        except TimeoutError:
            raise ExternalError(f"ext-proc is not ready within {limit:.0f} s: {self.last_words()}") from None

    def _refuse_if_ended(self) -> None:
        if self._process and self._process.returncode is not None:
            raise ExternalError(f"ext-proc does not start ({ended(self._process.returncode)}): {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, which holds no values."""
        with contextlib.suppress(OSError):
            lines = (self.directory.private / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
            return " | ".join(line[:300] for line in lines[-3:]) or "its log says nothing"
        return "it left no log"


def ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
