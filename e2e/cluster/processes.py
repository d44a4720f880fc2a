"""Processes that live no longer than the test run: each has a name, a log of its own, and is killed by the kernel if we die.

The kernel sends that signal when the *thread* that started the process ends, hence one thread that starts them all and ends last. It is set
by util-linux' `setpriv`, and kept over the program that it becomes.
"""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="processes")
_POLL_SECONDS = 0.05
_LOG_TAIL = 3000


class Processes:
    """Commands are told once, by `define`; then each is started, stopped and restarted by name."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._commands: dict[str, Sequence[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def define(self, name: str, command: Sequence[str]) -> None:
        self._commands[name] = command

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def running(self, name: str) -> bool:
        found = self._running.get(name)
        return found is not None and found.poll() is None

    def start(self, name: str) -> None:
        if self.running(name):
            raise RuntimeError(f"{name} is running already")
        self._running[name] = _STARTER.submit(_spawn, self._commands[name], self.log(name)).result()

    def signal(self, name: str, number: signal.Signals) -> None:
        self._running[name].send_signal(number)

    def stop(self, name: str, *, grace: float = 10.0) -> None:
        """Asked to end, then killed; with `grace` 0, killed at once. Nothing happens if it does not run."""
        process = self._running.pop(name, None)
        if process is None:
            return
        if grace:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        process.kill()
        process.wait()

    def wait(self, name: str, *, limit: float) -> None:
        """Until it ends by itself, or for `limit` seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._running[name].wait(limit)

    def stop_all(self) -> None:
        """At the end, when nothing that they hold matters any more: all at once, without asking."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()
        self._running.clear()

    def wait_until(self, name: str, ready: Callable[[], bool], *, limit: float = 60.0) -> None:
        """Until `ready` says so. A process that ends before, or is not ready within `limit` seconds, raises with the end of its log."""
        end = time.monotonic() + limit
        while not ready():
            if not self.running(name):
                raise RuntimeError(f"{name} ended: {self._tail(name)}")
            if time.monotonic() > end:
                raise TimeoutError(f"{name} was not ready within {limit:.0f} s: {self._tail(name)}")
            time.sleep(_POLL_SECONDS)

    def _tail(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-_LOG_TAIL:] if self.log(name).exists() else "no log"


def _spawn(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    setpriv = shutil.which("setpriv")
    bound = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with log.open("ab") as out:
        return subprocess.Popen([*bound, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
