"""Events wait here until they are sent, in bounded room and without one slow receiver keeping the others' events.

What runs: one service that renders events in the order in which they came, and for each receiver (scheme, host and port) a
lane in which up to four deliveries are under way; 32 altogether. A lane waits in order and dies when it is empty. One receiver's
lane may hold a quarter of all that may wait, so that the dead one of one profile does not cost the others their events. At the end
`drain` gives what waits some seconds, and counts what is left.
"""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field

from extproc.audit.courier import Courier
from extproc.audit.events import AuditEvent, events_of
from extproc.audit.metrics import AuditObserver
from extproc.audit.reasons import Dropped, Reason
from extproc.audit.rendering import Delivery, delivery
from extproc.stream import Resolved

log = logging.getLogger(__name__)

CAPACITY = 8192
MOST_BYTES = 32 * 2**20
"""What all that waits may take in memory."""
UNDER_WAY = 32
PER_RECEIVER = 4
BATCH = 4
"""Events that are rendered before requests have their turn again."""

Receiver = tuple[str, str]


@dataclass(slots=True)
class Lane:
    waiting: deque[tuple[Delivery, int]] = field(default_factory=deque)
    under_way: int = 0


class Dispatcher:
    """`run` is a service of the process; `tell` may be called from its loop at any time and never waits."""

    def __init__(
        self,
        courier: Courier,
        observer: AuditObserver,
        *,
        capacity: int = CAPACITY,
        most_bytes: int = MOST_BYTES,
        loopback: bool = False,
    ) -> None:
        self._courier = courier
        self._observer = observer
        self._capacity = capacity
        self._most_bytes = most_bytes
        self._loopback = loopback
        self._intake: deque[AuditEvent] = deque()
        self._lanes: dict[Receiver, Lane] = {}
        self._waiting = 0
        self._bytes = 0
        self._under_way = 0
        self._closed = False
        self._given_up = False
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None

    @property
    def pending(self) -> int:
        """Events that wait or are under way."""
        return self._waiting + self._under_way

    def tell(self, resolved: Resolved) -> None:
        for event in events_of(resolved):
            self.submit(event)

    def submit(self, event: AuditEvent) -> None:
        if self._closed:
            self._observer.dropped(Reason.SHUTDOWN)
        elif self._waiting >= self._capacity or self._bytes + event.size > self._most_bytes:
            self._observer.dropped(Reason.QUEUE_FULL)
        else:
            self._intake.append(event)
            self._hold(1, event.size)
            self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                for _ in range(min(BATCH, len(self._intake))):
                    self._take(self._intake.popleft())
                self._start()
                if self._intake:
                    await asyncio.sleep(0)
                else:
                    self._changed.clear()
                    await self._changed.wait()

    async def drain(self, seconds: float) -> None:
        """No event is taken from now on. Whoever calls this cancels `run` afterwards."""
        self._closed = True
        try:
            async with asyncio.timeout(seconds):
                while self.pending:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            left = self.pending
            self._given_up = True
            self._intake.clear()
            self._lanes.clear()
            self._hold(-self._waiting, -self._bytes)
            log.warning("audit events were not delivered before the end", extra={"events": left})
            for _ in range(left):
                self._observer.dropped(Reason.SHUTDOWN)

    def _hold(self, events: int, size: int) -> None:
        self._waiting += events
        self._bytes += size
        self._observer.waiting(self._waiting)
        self._moved.set()

    def _take(self, event: AuditEvent) -> None:
        """Renders one event and puts it into its lane. Whatever goes wrong is that event's."""
        self._hold(-1, -event.size)
        try:
            made = delivery(event, loopback=self._loopback)
        except Dropped as dropped:
            self._observer.dropped(dropped.reason)
        except Exception as error:  # noqa: BLE001 — a bug must cost one event, not the audit
            log.error("an audit event could not be rendered", extra={"error": type(error).__name__})  # noqa: TRY400 — with its values
            self._observer.dropped(Reason.INTERNAL)
        else:
            self._line_up(made)

    def _line_up(self, made: Delivery | None) -> None:
        if made is None:
            self._observer.unwanted()
            return
        lane = self._lanes.setdefault((made.url.scheme, made.url.authority), Lane())
        size = len(made.body) + 2000
        if len(lane.waiting) * 4 >= self._capacity or self._bytes + size > self._most_bytes:
            self._observer.dropped(Reason.QUEUE_FULL)
            return
        lane.waiting.append((made, size))
        self._hold(1, size)

    def _start(self) -> None:
        """Lanes take turns: each that could start one has gone behind the others."""
        turns = [receiver for receiver, lane in self._lanes.items() if lane.waiting and lane.under_way < PER_RECEIVER]
        while turns and self._under_way < UNDER_WAY:
            receiver = turns.pop(0)
            lane = self._lanes.pop(receiver)
            self._lanes[receiver] = lane
            self._send(receiver, lane)
            if lane.waiting and lane.under_way < PER_RECEIVER:
                turns.append(receiver)

    def _send(self, receiver: Receiver, lane: Lane) -> None:
        made, size = lane.waiting.popleft()
        self._hold(-1, -size)
        lane.under_way += 1
        self._under_way += 1
        if self._group:
            self._group.create_task(self._carry(made, receiver, lane))

    async def _carry(self, made: Delivery, receiver: Receiver, lane: Lane) -> None:
        try:
            lost = await self._delivered(made)
            if self._given_up:
                return
            if lost is None:
                self._observer.sent()
            else:
                self._observer.dropped(lost)
        finally:
            lane.under_way -= 1
            self._under_way -= 1
            if not lane.waiting and not lane.under_way and self._lanes.get(receiver) is lane:
                del self._lanes[receiver]
            self._changed.set()
            self._moved.set()

    async def _delivered(self, made: Delivery) -> Reason | None:
        try:
            await self._courier.deliver(made)
        except Dropped as dropped:
            return dropped.reason
        except Exception as error:  # noqa: BLE001 — as above
            log.error("an audit event could not be sent", extra={"error": type(error).__name__})  # noqa: TRY400 — with its values
            return Reason.INTERNAL
        return None
