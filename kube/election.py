"""Of several processes one acts: whose name stands in a Lease, renewed every `retry` seconds, as client-go does it.

A candidate takes over when the record has not changed for the Lease's duration *on its own monotonic clock*, counted from when it
saw the change; clocks on the wall are never compared. The holder counts from when it *sent* its last confirmed renewal, which was
before anybody saw it, and stops by itself:

    sent      + fence: `may_write` is False            + renew_deadline: `hold` raises LeadershipLost       + duration: another leads
    ├──────────┤ a write begun before ends at the latest ┤─ write_deadline ─┤ · clocks may run apart by 1.4 ┤

So no write of ours is under way when another leads, provided that each write is given up within `write_deadline` and that
`may_write` is asked right before it is sent; it reads the clock itself, so that it is right also after the loop was blocked.
`ElectionSettings` refuses figures that do not add up. What this cannot bound: a server that carries a write out after we hung up on
it, a process stopped between that question and the sending, a machine whose monotonic clock stands still while it sleeps, and a
Lease deleted by hand while a candidate starts. Against those, writes that destroy carry the UID and version of what they mean.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from kube.lease import LEASES, Record, new_lease, record_of, released, renewed
from kube.objects import Key, Raw, Resource

CLOCK_RATE = 1.4
"""How much faster one machine's clock may run than another's."""
JITTER = 0.2
RELEASE_DEADLINE = 3.0
RELEASE_PAUSE = 0.2

log = logging.getLogger(__name__)


class LeadershipLost(Exception):  # noqa: N818 — what happened, not an error: the process has to end
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionSettings:
    """Seconds. `write_deadline` is the longest that a write of the leader takes until it is given up."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    write_deadline: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.retry < self.renew_deadline < self.duration:
            raise ValueError("of a Lease's times, retry must be shorter than renew_deadline, and that shorter than duration")
        if self.fence < 2 * self.retry:
            most = self.duration / CLOCK_RATE - 2 * self.retry
            raise ValueError(
                f"a write may take {self.write_deadline:g} s, so it could still be under way when another leads:"
                f" allow at most {most:.1f} s, or a longer lease, or renewals more often"
            )

    @property
    def fence(self) -> float:
        """How long after a renewal a write may still begin."""
        return min(self.renew_deadline, self.duration / CLOCK_RATE - self.write_deadline)

    @property
    def call_deadline(self) -> float:
        """A renewal that hangs leaves time for another."""
        return self.renew_deadline / 2


class LeaseClient(Protocol):
    """The three verbs of `kube.client.Client` that are needed; not of one that asks `may_write`."""

    async def get(self, resource: Resource, key: Key) -> Raw: ...

    async def create(self, resource: Resource, body: Raw, *, namespace: str = "") -> Raw: ...

    async def replace(self, resource: Resource, key: Key, body: Raw) -> Raw: ...


class Election:
    """`identity` is this process's alone. `observer` hears whether we lead."""

    def __init__(
        self,
        client: LeaseClient,
        lease: Key,
        identity: str,
        *,
        settings: ElectionSettings,
        now: Callable[[], datetime],
        random: Callable[[], float],
        observer: Callable[[bool], None] = lambda _: None,
    ) -> None:
        if not identity:
            raise ValueError("an election needs an identity")
        self._client = client
        self._lease = lease
        self._identity = identity
        self._settings = settings
        self._now = now
        self._random = random
        self._observer = observer
        # The Lease as last seen, and since when its record says what it says.
        self._raw: Raw | None = None
        self._record: Record | None = None
        self._seen_at = 0.0
        # When the renewal that was confirmed last had been sent; None while we do not lead.
        self._confirmed: float | None = None
        self._tell(leads=False)

    @property
    def is_leader(self) -> bool:
        return self._within(self._settings.renew_deadline)

    @property
    def holder(self) -> str:
        """As last seen; empty where nobody."""
        return self._record.holder if self._record else ""

    def may_write(self) -> bool:
        """To be asked right before every write is sent."""
        return self._within(self._settings.fence)

    async def acquire(self) -> None:
        """Until we lead."""
        self._confirmed = None
        while True:
            if await self._attempt(self._campaign, _now() + self._settings.call_deadline):
                break
            await asyncio.sleep(self._patience())
        self._tell(leads=True)

    async def hold(self) -> None:
        """Renews until that fails for too long or somebody else holds the Lease: then raises LeadershipLost."""
        try:
            while True:
                began = self._in_time()
                await self._attempt(self._renew, min(began + self._settings.call_deadline, self._end()))
                await asyncio.sleep(min(began + self._settings.retry, self._end()) - _now())
        except LeadershipLost as lost:
            self._confirmed = None
            self._tell(leads=False)
            log.warning("no longer leading: %s", lost, extra=self._fields())
            raise

    async def release(self) -> None:
        """Lets another lead at once. What was written as leader must have ended before: `may_write` is False from here on."""
        led, self._confirmed = self.is_leader, None
        self._tell(leads=False)
        if led:
            await self._give_up_until(_now() + RELEASE_DEADLINE)

    async def _campaign(self) -> bool:
        try:
            raw = await self._client.get(LEASES, self._lease)
        except NotFound:
            # Somebody deleted it under its holder, who will notice at the next renewal and not before.
            return self._expires_in() <= 0 and await self._create()
        self._see(raw)
        if self.holder not in ("", self._identity) and self._expires_in() > 0:
            return False
        return await self._write(raw)

    async def _renew(self) -> bool:
        if self._raw is not None:
            try:
                return await self._write(self._raw)
            except (Conflict, NotFound):
                self._raw = None  # somebody touched it, perhaps not its record
        try:
            raw = await self._client.get(LEASES, self._lease)
        except NotFound:
            return await self._create()
        self._see(raw)
        if self.holder != self._identity:
            raise LeadershipLost(f"the Lease is held by {self.holder or 'nobody'}")
        return await self._write(raw)

    async def _give_up_until(self, end: float) -> None:
        while not await self._attempt(self._give_up, end):
            if _now() + RELEASE_PAUSE >= end:
                return
            await asyncio.sleep(RELEASE_PAUSE)

    async def _give_up(self) -> bool:
        if self._raw is not None:
            try:
                await self._client.replace(LEASES, self._lease, released(self._raw, self._now()))
            except Conflict:
                self._raw = None
            else:
                return True
        try:
            raw = await self._client.get(LEASES, self._lease)
        except NotFound:
            return True
        if record_of(raw).holder == self._identity:
            await self._client.replace(LEASES, self._lease, released(raw, self._now()))
        return True

    async def _create(self) -> bool:
        sent, body = _now(), new_lease(self._lease, self._identity, self._settings.duration, self._now())
        return self._confirm(await self._client.create(LEASES, body, namespace=self._lease.namespace), sent)

    async def _write(self, raw: Raw) -> bool:
        sent, body = _now(), renewed(raw, self._identity, self._settings.duration, self._now())
        return self._confirm(await self._client.replace(LEASES, self._lease, body), sent)

    def _confirm(self, raw: Raw, sent: float) -> bool:
        self._see(raw)
        if self.holder != self._identity:
            return False
        self._raw, self._confirmed = raw, sent
        return self.is_leader

    def _see(self, raw: Raw) -> None:
        record = record_of(raw)
        if record == self._record:
            return
        if record.holder != self.holder:
            log.info("the Lease is held by %s", record.holder or "nobody", extra=self._fields())
        self._record, self._seen_at = record, _now()

    async def _attempt(self, attempt: Callable[[], Awaitable[bool]], deadline: float) -> bool:
        """Whether it succeeded; why not is told and no more, since time decides what follows from it."""
        try:
            async with asyncio.timeout_at(deadline):
                return await attempt()
        except (AlreadyExists, Conflict) as error:
            log.debug("another was quicker at the Lease: %s", error, extra=self._fields())
        except (ApiError, TimeoutError) as error:
            why = str(error) or "no answer in time"
            log.warning("the Lease was not read or written: %s", why, extra=self._fields())
        self._raw = None  # what was sent may have been done all the same
        return False

    def _expires_in(self) -> float:
        """Seconds until a holder who does not renew may be replaced; nothing where nobody holds it."""
        record = self._record
        if record is None or record.holder in ("", self._identity):
            return 0.0
        return self._seen_at + max(record.seconds or 0.0, self._settings.duration) - _now()

    def _patience(self) -> float:
        usual = self._settings.retry * (1 - JITTER + 2 * JITTER * self._random())
        expires = self._expires_in()
        return min(usual, expires + self._settings.retry * JITTER * self._random()) if expires > 0 else usual

    def _end(self) -> float:
        return (self._confirmed or 0.0) + self._settings.renew_deadline

    def _in_time(self) -> float:
        """Now, unless it is too late."""
        if not self.is_leader:
            raise LeadershipLost(f"not renewed for {self._settings.renew_deadline:g} s")
        return _now()

    def _within(self, seconds: float) -> bool:
        return self._confirmed is not None and _now() < self._confirmed + seconds

    def _tell(self, *, leads: bool) -> None:
        self._observer(leads)

    def _fields(self) -> dict[str, str]:
        return {"lease": str(self._lease), "identity": self._identity}


def _now() -> float:
    return asyncio.get_running_loop().time()
