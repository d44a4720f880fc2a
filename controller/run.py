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
import signal
from collections.abc import Callable
from datetime import UTC, datetime

from controller.assembly import Assembly
from controller.settings import Settings
from kube.election import Election, ElectionSettings, LeadershipLost
from kube.objects import Key

log = logging.getLogger(__name__)

OK, FAILED, LOST = 0, 1, 3


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 — the process's one clock on the wall


async def run(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> int:
    """The exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    assembly = await Assembly.build(settings, now=now)
    try:
        async with asyncio.TaskGroup() as group:
            assembly.start(group)
            code = await until(stop, lead(assembly, settings, now))
            await assembly.end()
            return code
    finally:
        await assembly.close()


async def lead(assembly: Assembly, settings: Settings, now: Callable[[], datetime]) -> int:
    await assembly.synced()
    if settings.once:
        return OK if await assembly.once() else FAILED
    if not settings.leader_election:
        await assembly.work()
        return OK
    election = election_of(assembly, settings, now)
    assembly.guard(election.may_write)
    await election.acquire()
    log.info("leading", extra={"lease": settings.lease_name, "identity": settings.pod_name})
    assembly.leading(leads=True)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(election.hold())
            group.create_task(assembly.work())
    except* LeadershipLost:
        log.error("the Lease is lost: ending")  # noqa: TRY400 — no traceback helps
        return LOST
    finally:
        assembly.leading(leads=False)
        await assembly.drain()
        await election.release()
    return OK


def election_of(assembly: Assembly, settings: Settings, now: Callable[[], datetime]) -> Election:
    timing = ElectionSettings(duration=settings.lease_duration, renew_deadline=settings.lease_renew_deadline, retry=settings.lease_retry)
    lease = Key(settings.pod_namespace, settings.lease_name)
    return Election(assembly.lease_client, lease, settings.pod_name, settings=timing, now=now, random=random.random)
