"""An API server for Leases in a world of machines, and processes that lead by them and write; a recorder of when each write could act.

The server is a machine, too. A call travels, is carried out, and its answer travels back; where the caller is cut off either is lost.
A write that its caller gave up before it was carried out is not carried out: that is what the server's own timeout gives.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from kube.election import Election, ElectionSettings, LeadershipLost
from kube.errors import AlreadyExists, Conflict, NotFound, TimedOut, Unavailable
from kube.objects import Key
from unit_tests.kube.machines import Machine, World

LEASE = Key("groyne-system", "controller")
WRITERS = 3


@dataclass
class Call:
    """On its way to the server, there, and back."""

    server: "ApiServer"
    caller: Machine
    act: Callable
    answer: asyncio.Future

    def arrive(self):
        self.server.machine.loop.call_later(self.server.source.uniform(0, self.server.slow), self.carry_out)

    def carry_out(self):
        if self.answer.cancelled() or not self.caller.reachable:
            return
        error = result = None
        try:
            result = self.act()
        except (Conflict, NotFound, AlreadyExists) as raised:
            error = raised
        if self.server.refuses():
            error = Unavailable("500, though it may have been done")
        self.server.machine.loop.call_later(self.server.source.uniform(0.001, 0.01), self.come_back, result, error)

    def come_back(self, result, error):
        """Into the caller's loop, which sees it when it runs: not while it is blocked."""
        if self.caller.reachable:
            self.caller.loop.call_soon(self.settle, result, error)

    def settle(self, result, error):
        if self.answer.done():
            return
        if error:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(result)


class ApiServer:
    """`slow` is the most that carrying out a call takes, `failing` how many of them fail."""

    def __init__(self, world: World, source: random.Random) -> None:
        self.machine, self.source = Machine(world), source
        self.lease, self.version = None, 0
        self.slow, self.failing = 0.05, 0.0
        self.writes: list[Write] = []

    def call(self, caller: Machine, act):
        """A future of the caller's loop."""
        call = Call(self, caller, act, caller.loop.create_future())
        if caller.reachable:
            self.machine.loop.call_later(self.source.uniform(0.001, 0.01), call.arrive)
        return call.answer

    def refuses(self):
        return self.source.random() < self.failing

    def get(self):
        if self.lease is None:
            raise NotFound("no lease")
        return dict(self.lease)

    def create(self, body):
        if self.lease is not None:
            raise AlreadyExists("there")
        return self._keep(body)

    def replace(self, body):
        if self.lease is None:
            raise NotFound("no lease")
        if body["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        return self._keep(body)

    def _keep(self, body):
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return dict(self.lease)


@dataclass
class Write:
    """From when it was sent to when it was carried out, or given up, in the world's time."""

    leader: str
    began: float
    ended: float


class LeaseCalls:
    """`kube.election.LeaseClient`, from one machine."""

    def __init__(self, server: ApiServer, machine: Machine, deadline: float) -> None:
        self.server, self.machine, self.deadline = server, machine, deadline

    async def _call(self, act):
        try:
            async with asyncio.timeout(self.deadline):
                return await self.server.call(self.machine, act)
        except TimeoutError:
            raise TimedOut("no answer") from None

    async def get(self, resource, key):
        assert key == LEASE
        return await self._call(self.server.get)

    async def create(self, resource, body, *, namespace=""):
        assert namespace == LEASE.namespace
        return await self._call(lambda: self.server.create(body))

    async def replace(self, resource, key, body):
        return await self._call(lambda: self.server.replace(body))


@dataclass
class Process:
    """Stands by, leads and writes as fast as it may; ends when it no longer leads, or when it is told to release."""

    name: str
    machine: Machine
    server: ApiServer
    settings: ElectionSettings
    source: random.Random
    longest_write: float
    terms: list = field(default_factory=list)
    observed: list = field(default_factory=list)

    def __post_init__(self) -> None:
        calls = LeaseCalls(self.server, self.machine, deadline=10.0)
        self.election = Election(
            calls,
            LEASE,
            self.name,
            settings=self.settings,
            now=self.machine.now,
            random=self.source.random,
            observer=self.observed.append,
        )
        self.stop = asyncio.Event()
        self.ended = None

    async def live(self):
        await self.election.acquire()
        self.terms.append(self.machine.world.time)
        hold = self.machine.loop.create_task(self.election.hold())
        work = [self.machine.loop.create_task(self.work()) for _ in range(WRITERS)]
        try:
            await asyncio.wait([hold, *work], return_when=asyncio.FIRST_COMPLETED)
            if not hold.done():
                await asyncio.wait(work)
        finally:
            for task in (hold, *work):
                task.cancel()
            found = await asyncio.gather(hold, *work, return_exceptions=True)
        await self.election.release()
        self.ended = "lost" if isinstance(found[0], LeadershipLost) else "released"

    async def work(self):
        while not self.stop.is_set():
            await asyncio.sleep(self.source.uniform(0.05, 0.6))
            if self.election.may_write():
                await self.write()

    async def write(self):
        """Some hang until they are given up, and are carried out in the last moment."""
        world, limit = self.machine.world, self.settings.write_deadline
        takes = self.source.choice([0.01, 0.2, self.source.uniform(0, self.longest_write), self.longest_write])
        # Carried out by the server, whatever becomes of the caller; on the caller's clock it is given up at its deadline.
        noted = Write(self.name, world.time, world.time + min(takes, limit / self.machine.rate))
        self.server.writes.append(noted)
        await asyncio.sleep(min(takes * self.machine.rate, limit))


def overlaps(writes: list[Write]) -> list[tuple[Write, Write]]:
    """Pairs of different leaders' writes that could act at the same time, or the earlier leader's after the later one's."""
    found, last = [], {}
    for write in sorted(writes, key=lambda each: each.began):
        for other, earlier in last.items():
            if other != write.leader and earlier.ended > write.began:
                found.append((earlier, write))
        before = last.get(write.leader)
        if before is None or write.ended > before.ended:
            last[write.leader] = write
    return found
