"""The process from start to end: caches first, then the Lease, then work, and back in the other order.

    connect → informers run and sync, in every replica → readiness
            → the Lease → everything is put into the queues → workers
    SIGTERM → queues shut down and drain → the Lease is released → informers end

Standing by, a replica's caches are warm and its books kept; it writes nothing. A Lease that is lost ends the process: what was
begun under it must not go on.
"""

import asyncio
import logging
import random
import secrets
import signal
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime

from controller.assembly import Assembly
from controller.settings import Settings
from controller.surroundings import Surroundings
from daemon.logs import leaves
from kube.election import Election, LeadershipLost
from kube.objects import Key
from kube.tasks import running

log = logging.getLogger(__name__)

OK, FAILED, LOST = 0, 1, 3


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 — the process's one clock on the wall


class _Ended(Exception):  # noqa: N818 — how a TaskGroup is told to end, and with which exit code
    def __init__(self, code: int) -> None:
        self.code = code


async def run(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> int:
    """The exit code. Raises ValueError and OSError where it cannot even begin."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    around = await Surroundings.build(settings, now)
    try:
        async with asyncio.TaskGroup() as group:
            assembly = Assembly(settings, around, group, now)
            assembly.start()
            group.create_task(around.recorder.run(), name="events")
            group.create_task(around.heartbeat.run(), name="heartbeat")
            raise _Ended(await act(settings, around, assembly, stop, now))  # noqa: TRY301 — the way to end a TaskGroup
    except* _Ended as ended:
        code = next(error.code for error in leaves(ended) if isinstance(error, _Ended))
    finally:
        await around.close()
    return code


async def act(settings: Settings, around: Surroundings, assembly: Assembly, stop: asyncio.Event, now: Callable[[], datetime]) -> int:
    if not await unless(stop, assembly.synced()):
        return too_early() if settings.once else OK
    log.info("synced")
    if settings.once:
        return await once(assembly, stop)
    if not settings.leader_election:
        await working(assembly, stop)
        return OK
    return await lead(settings, around, assembly, stop, now)


async def once(assembly: Assembly, stop: asyncio.Event) -> int:
    if await finished(stop, assembly.once()):
        return OK
    return too_early() if stop.is_set() else FAILED


def too_early() -> int:
    log.warning("told to end before everything was up to date")
    return FAILED


async def lead(settings: Settings, around: Surroundings, assembly: Assembly, stop: asyncio.Event, now: Callable[[], datetime]) -> int:
    election = election_of(settings, around, now)
    around.guard.allows = election.may_write
    if not await unless(stop, election.acquire()):
        return OK
    log.info("leading", extra={"lease": settings.lease_name, "identity": settings.pod_name})
    leads = around.metrics.leading(settings.lease_name)
    leads(True)
    try:
        async with running({"lease": election.hold}):
            await working(assembly, stop)
    except LeadershipLost:
        log.error("the Lease is lost: ending")  # noqa: TRY400 — a traceback says nothing more
        return LOST
    finally:
        leads(False)
        await election.release()
    return OK


async def working(assembly: Assembly, stop: asyncio.Event) -> None:
    """Until `stop`; then what is in hand is ended. What prepares for work that will not come ends at once."""
    if not await unless(stop, assembly.prepare()):
        return
    async with asyncio.TaskGroup() as group:
        work = group.create_task(assembly.work(), name="work")
        await stop.wait()
        assembly.shut_down()
        await work


async def unless(stop: asyncio.Event, waiting: Coroutine[object, object, None]) -> bool:
    """Whether `waiting` came to its end before `stop`."""

    async def ended() -> bool:
        await waiting
        return True

    return await finished(stop, ended())


async def finished(stop: asyncio.Event, work: Coroutine[object, object, bool]) -> bool:
    """What `work` says at its end; False where `stop` came before."""
    async with asyncio.TaskGroup() as group:
        working, told = group.create_task(work), group.create_task(stop.wait())
        await asyncio.wait((working, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, told):
            task.cancel()
    return not working.cancelled() and working.result()


def election_of(settings: Settings, around: Surroundings, now: Callable[[], datetime]) -> Election:
    lease = Key(settings.pod_namespace, settings.lease_name)
    # A name that two processes share would let both lead.
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"
    return Election(around.lease_client, lease, identity, settings=settings.election, now=now, random=random.random)
