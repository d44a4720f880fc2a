"""`python -m extproc.worker FD FLAGS…`: one of several processes that share a port, started by `workers` and by nobody else.

It waits, with everything imported, on the socket that it was given for its number; then it is an ordinary ext-proc that tells its state
and its metrics there instead of on ports of its own. Who asks is answered by a thread, also when the event loop is stuck. When
that socket ends, so has the process at its other end: this one drains.

    ← one byte: the number     ← b"r" → the report     ← b"m" → the metrics     (four bytes of length, then JSON)
"""

import asyncio
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from prometheus_client import CollectorRegistry

from daemon.health import Checks, Health
from extproc.beginning import DONE, Work, begin
from extproc.families import written
from extproc.run import Parts, run
from extproc.settings import Settings

REPORT, METRICS = b"r", b"m"
PREFIX = 4


class Link:
    """The socket to whoever looks after this process."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.number = 0

    def wait(self) -> bool:
        """Until it is this process' turn. False: its turn will not come."""
        told = self._connection.recv(1)
        self.number = told[0] if told else 0
        return bool(told)

    def answer(self, parts: Parts, gone: Callable[[], None]) -> None:
        """From now on, in a thread. `gone` is called there when the other side has ended."""
        threading.Thread(target=self._answer, args=(parts, gone), name="link", daemon=True).start()

    def _answer(self, parts: Parts, gone: Callable[[], None]) -> None:
        with suppress(OSError):
            while asked := self._connection.recv(1):
                said = report(parts.checks, parts.health, parts.version()) if asked == REPORT else metrics(parts.registry)
                self._connection.sendall(len(said).to_bytes(PREFIX, "big") + said)
        # The loop may have ended before.
        with suppress(RuntimeError):
            gone()


def report(checks: Checks, health: Health, version: str) -> bytes:
    failing = {finding.name: finding.reason for finding in checks.findings() if finding.reason}
    return json.dumps({"stuck": health.loop().reason, "failing": failing, "version": version}).encode()


def metrics(registry: CollectorRegistry) -> bytes:
    return written(registry)


def main() -> int:
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    if not link.wait():
        return DONE

    async def work(settings: Settings) -> None:
        sign(link.number)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        await run(settings, stop=stop, told=lambda parts: link.answer(parts, lambda: _from_thread(loop, stop)))

    return begin(sys.argv[2:], lambda settings: Work(main=work(settings)))


def _from_thread(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    loop.call_soon_threadsafe(stop.set)


def sign(number: int) -> None:
    """Every line of the log says whose it is."""

    def signed(record: logging.LogRecord) -> bool:
        record.worker = number
        return True

    for handler in logging.getLogger().handlers:
        handler.addFilter(signed)


if __name__ == "__main__":
    sys.exit(main())
