"""`--workers N`: processes that share one port by SO_REUSEPORT, and this one, which serves no Envoy and looks after them.

    spawned (everything imported, waits) ──its turn──▶ worker K: starting → ready ──ended, or stuck──▶ a new one takes its place

The kernel spreads connections over whoever listens. When a worker dies, its streams break and Envoy refuses those requests;
others go on, and a process that is already there and waits takes its place. One that ends again and again is started ever more
slowly. Ready is whom every worker is; metrics are those of all of them, with the label `worker`.
"""

import asyncio
import json
import logging
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from signal import SIGINT, SIGTERM

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, disable_created_metrics
from prometheus_client.registry import Collector

from daemon.health import LONGEST_SILENCE, Checks, Health
from daemon.health_server import HealthServer
from daemon.heartbeat import Heartbeat
from daemon.starting import CANNOT_BEGIN
from extproc.announcing import announce
from extproc.families import merged
from extproc.settings import Settings
from extproc.worker import METRICS, PREFIX, REPORT
from kube.tasks import running

log = logging.getLogger(__name__)

ASK_EVERY = 0.1
SILENT = 5.0
"""Seconds without an answer after which a worker is not ready; after LONGEST_SILENCE it is killed."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 10.0
STEADY = 10.0
"""Seconds after which an end says nothing about the start."""
GRACE = 3.0
"""Seconds for what a worker does besides draining."""
SCRAPE = 2.0


class Silent(Exception):  # noqa: N818 - what the worker is
    """It has ended, or does not answer."""


@dataclass(slots=True, kw_only=True)
class Child:
    """A process, and this end of its socket."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    asked: deque[asyncio.Future[bytes]] = field(default_factory=deque)

    @classmethod
    async def spawn(cls, arguments: Sequence[str]) -> "Child":
        ours, theirs = socket.socketpair()
        with theirs:
            command = (sys.executable, "-m", "extproc.worker", str(theirs.fileno()), *arguments)
            # A session of its own: what a terminal says to all is said here, and passed on.
            process = await asyncio.create_subprocess_exec(*command, pass_fds=(theirs.fileno(),), start_new_session=True)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process=process, reader=reader, writer=writer)

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    def turn(self, number: int) -> None:
        self.writer.write(bytes([number]))

    async def ask(self, what: bytes) -> bytes:
        """Raises Silent. Who gives up waiting leaves the answer to `listen`."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        self.writer.write(what)
        return await answer

    async def listen(self) -> None:
        """Answers come in the order of the questions, until the process ends."""
        with suppress(OSError, EOFError):
            while True:
                length = int.from_bytes(await self.reader.readexactly(PREFIX), "big")
                said = await self.reader.readexactly(length)
                answer = self.asked.popleft()
                if not answer.done():
                    answer.set_result(said)

    def forget(self) -> None:
        for answer in self.asked:
            if not answer.done():
                answer.set_exception(Silent())
        self.asked.clear()
        self.writer.close()

    def end(self, *, at_once: bool = False) -> None:
        with suppress(ProcessLookupError):
            self.process.kill() if at_once else self.process.terminate()


@dataclass(slots=True, kw_only=True)
class Place:
    """One of N. `failing` is None until its worker has answered; `answered` is when."""

    number: int
    child: Child | None = None
    failing: dict[str, str] | None = None
    version: str = ""
    answered: float = 0.0
    was_ready: bool = False

    def not_ready(self) -> str | None:
        if self.child is None or self.failing is None:
            return "is starting"
        silent = time.monotonic() - self.answered
        if silent > SILENT:
            return f"has said nothing for {silent:.0f} s"
        return "; ".join(f"{name}: {reason}" for name, reason in self.failing.items()) or None

    def begin(self, child: Child) -> None:
        self.child, self.failing, self.answered = child, None, time.monotonic()
        child.turn(self.number)

    def heard(self, said: bytes) -> str:
        """Why it is beyond help, if it is."""
        report = json.loads(said)
        self.failing, self.version, self.answered = report["failing"], report["version"], time.monotonic()
        self.was_ready |= not self.failing
        return str(report["stuck"])


class Crew:
    """All of them."""

    def __init__(self, settings: Settings, arguments: Sequence[str], registry: CollectorRegistry) -> None:
        self._drain, self._arguments = settings.drain, tuple(arguments)
        self.places = [Place(number=number) for number in range(1, settings.workers + 1)]
        self._spare: Child | None = None
        self._turn = asyncio.Lock()
        self._ending = False
        self._ends = Counter("groyne_extproc_worker_ends", "Workers that ended without being told to.", registry=registry)
        count = Gauge("groyne_extproc_workers", "Workers that are ready.", registry=registry)
        count.set_function(lambda: sum(place.not_ready() is None for place in self.places))

    async def keep(self, place: Place) -> None:
        """Raises ValueError where a worker cannot begin and never could."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while not self._ending:
            child = await self._next()
            place.begin(child)
            log.info("a worker begins", extra={"worker": place.number, "worker_pid": child.process.pid})
            began = loop.time()
            code = await self._life(place, child)
            place.child, place.failing = None, None
            if self._ending:
                return
            if code == CANNOT_BEGIN and not place.was_ready:
                raise ValueError(f"worker {place.number} cannot: its log says why")
            self._ends.inc()
            pause = FIRST_PAUSE if loop.time() - began > STEADY else min(pause * 2, LONGEST_PAUSE)
            log.warning("a worker ended: another takes its place", extra={"worker": place.number, "code": code, "after": pause})
            await asyncio.sleep(pause)

    async def _life(self, place: Place, child: Child) -> int:
        """Until its end; the exit code."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(child.listen()), group.create_task(self._watch(place, child))]
            code = await child.process.wait()
            for task in tasks:
                task.cancel()
        child.forget()
        return code

    async def _watch(self, place: Place, child: Child) -> None:
        with suppress(Silent):
            while True:
                try:
                    async with asyncio.timeout(LONGEST_SILENCE):
                        stuck = place.heard(await child.ask(REPORT))
                except TimeoutError:
                    stuck = "does not answer"
                if stuck:
                    log.error("a worker is stuck: it is ended", extra={"worker": place.number, "why": stuck})
                    child.end(at_once=True)
                    return
                await asyncio.sleep(ASK_EVERY)

    async def _next(self) -> Child:
        """The one that waits; another is made to wait."""
        async with self._turn:
            spare, self._spare = self._spare, None
            if spare and spare.ended:
                spare.forget()
                spare = None
            child = spare or await Child.spawn(self._arguments)
            if not self._ending:
                self._spare = await Child.spawn(self._arguments)
            return child

    async def drain(self) -> None:
        """Streams that are open come to their end, or have had their time."""
        self._ending = True
        children = [place.child for place in self.places if place.child]
        for child in children:
            child.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain + GRACE):
                for child in children:
                    await child.process.wait()

    async def close(self) -> None:
        self._ending = True
        for child in (self._spare, *(place.child for place in self.places)):
            if child:
                child.end(at_once=True)
                await child.process.wait()
                child.forget()

    def version(self) -> str:
        """Of the manifests, if all decide by the same."""
        found = {place.version for place in self.places}
        return found.pop() if len(found) == 1 else ""

    async def metrics(self) -> dict[str, bytes]:
        """Of those that answer in time."""
        said = {}
        with suppress(TimeoutError):
            async with asyncio.timeout(SCRAPE):
                for place in self.places:
                    with suppress(Silent):
                        if place.child and place.failing is not None:
                            said[str(place.number)] = await place.child.ask(METRICS)
        return said


class Merged(Collector):
    """Asked by the threads of the health port."""

    def __init__(self, crew: Crew, loop: asyncio.AbstractEventLoop) -> None:
        self._crew, self._loop = crew, loop

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        asked = asyncio.run_coroutine_threadsafe(self._crew.metrics(), self._loop)
        try:
            return merged(asked.result(2 * SCRAPE))
        except TimeoutError:
            return ()


async def supervise(settings: Settings, arguments: Sequence[str]) -> None:
    """Until SIGTERM or SIGINT. Raises ValueError and OSError where it cannot begin."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (SIGTERM, SIGINT):
        loop.add_signal_handler(number, stop.set)
    disable_created_metrics()  # type: ignore[no-untyped-call] # as in the workers
    registry, checks = CollectorRegistry(), Checks()
    crew = Crew(settings, arguments, registry)
    registry.register(Merged(crew, loop))
    for place in crew.places:
        checks.add(f"worker-{place.number}", place.not_ready)
    heartbeat = Heartbeat(clock=time.monotonic, late=lambda _: None)
    services = {f"worker-{place.number}": partial(crew.keep, place) for place in crew.places}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(crew.close)
        if settings.health_port:
            respond = Health(checks=checks, heartbeat=heartbeat, registry=registry).answer
            server = HealthServer(host=settings.health_host, port=settings.health_port, respond=respond)
            server.start()
            stack.callback(server.stop)
        told = {"ready": partial(announce, settings.grpc_health, checks, crew.version)} if settings.grpc_health else {}
        async with running({**services, **told, "heartbeat": heartbeat.run}):
            log.info("looking after workers", extra={"workers": settings.workers, "address": settings.listen})
            await stop.wait()
            log.info("draining")
            checks.add("draining", lambda: "the process is ending")
            await crew.drain()
