"""What a controller says to people about an object: each thing once as an Event, its repetitions counted in that Event's series.

    record → new: POST as soon as may be
           → said before: counted; PATCH of the count six seconds after the POST at the earliest, then after twice as long each time

`record` never waits and never raises; what is too much is dropped and counted, for an Event is a courtesy. `run` sends, one at a time:
while the API server is away everything waits, refusals are told once and dropped. Asked to stop, it sends for a moment what it has.
What was said is forgotten after an hour without repetition, as the API server forgets Events.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from kube.backoff import Backoff
from kube.errors import AlreadyExists, ApiError, NotFound, Throttled, Unavailable
from kube.event_body import EVENTS, EventType, Reporter, Saying, event, name_of, saying, series_of
from kube.objects import Key, Raw, Resource
from kube.outcome import redacted
from kube.workqueue import WorkQueue

MOST_WAITING = 1000
MOST_KEPT = 4096
FORGET_AFTER = 3600.0
FIRST_REPEAT, LAST_REPEAT = 6.0, 384.0
TRIES = 5
DRAIN = 2.0

log = logging.getLogger(__name__)


class EventClient(Protocol):
    """The two verbs of `kube.client.Client` that are needed."""

    async def create(self, resource: Resource, body: Raw, *, namespace: str = "") -> Raw: ...

    async def merge_patch(self, resource: Resource, key: Key, body: Raw) -> Raw: ...


@dataclass(slots=True)
class Series:
    """`told` of its `count` occurrences the API server knows, under `name`; empty before the POST. `seen` and `due` are loop time."""

    first: datetime
    last: datetime
    seen: float
    name: str = ""
    count: int = 1
    told: int = 0
    due: float = 0.0
    gap: float = FIRST_REPEAT


class Recorder:
    """`now` is the clock on the wall, for people; `dropped` counts Events that nobody will read."""

    def __init__(
        self,
        client: EventClient,
        *,
        component: str,
        instance: str,
        now: Callable[[], datetime],
        random: Callable[[], float],
        most: int = MOST_WAITING,
        kept: int = MOST_KEPT,
    ) -> None:
        self._client = client
        self._by = Reporter(component=component, instance=instance)
        self._now = now
        self._most, self._kept = most, kept
        self._said: OrderedDict[Saying, Series] = OrderedDict()
        self._queue: WorkQueue[Saying] = WorkQueue(random=random)
        self._backoff = Backoff(first=1, most=30, random=random)
        self._refusals: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._unsent = 0
        self.dropped = 0

    def record(self, about: Raw, *, type: EventType, reason: str, action: str, note: str) -> None:  # noqa: A002 — the API's word
        try:
            self._note(saying(about, kind=type, reason=reason, action=action, note=note))
        except Exception as error:  # a courtesy must not end what it speaks of
            self.dropped += 1
            log.exception("an Event could not be made", exc_info=redacted(error))

    async def run(self) -> None:
        """Until it is cancelled; then what is there is still sent, for two seconds at most."""
        try:
            while True:
                await self._serve(await self._queue.get())
        except asyncio.CancelledError:
            await self._drain()
            raise

    def _note(self, what: Saying) -> None:
        moment, now = asyncio.get_running_loop().time(), self._now()
        self._forget(moment)
        series = self._said.get(what)
        if series is not None:
            series.count, series.last, series.seen = series.count + 1, now, moment
            self._said.move_to_end(what)
            if series.name:
                self._queue.add_after(what, series.due - moment)
        elif self._unsent >= self._most:
            self.dropped += 1
        else:
            self._said[what] = Series(first=now, last=now, seen=moment)
            self._unsent += 1
            self._queue.add(what)

    def _forget(self, moment: float) -> None:
        """Those not heard of for the longest stand first."""
        while self._said and (len(self._said) >= self._kept or moment > next(iter(self._said.values())).seen + FORGET_AFTER):
            what, series = next(iter(self._said.items()))
            del self._said[what]
            if not series.name:
                self._unsent -= 1
                self.dropped += 1

    async def _serve(self, what: Saying) -> None:
        try:
            for _ in range(TRIES):
                if await self._settled(what):
                    return
            self._drop(what)
        except Exception as error:  # one Event that cannot be sent must not keep the next from being
            self._drop(what)
            log.exception("an Event could not be sent", exc_info=redacted(error))
        finally:
            self._queue.done(what)

    async def _settled(self, what: Saying) -> bool:
        """Sent, or never to be; else the API server is away and it has been waited for."""
        try:
            await self._send(what)
        except (Unavailable, Throttled) as error:
            await asyncio.sleep(max(self._backoff.next(), error.retry_after or 0.0))
            return False
        except ApiError as error:
            self._drop(what)
            self._refused(what, error)
        self._backoff.reset()
        return True

    async def _send(self, what: Saying) -> None:
        series = self._said.get(what)
        if series is None or series.told == series.count:
            return
        if series.name:
            try:
                await self._patch(what, series)
            except NotFound:
                await self._post(what, series, series.last, series.count)
        else:
            await self._post(what, series, series.first, 1)
        if series.count > series.told:
            self._queue.add_after(what, series.due - asyncio.get_running_loop().time())

    async def _post(self, what: Saying, series: Series, at: datetime, count: int) -> None:
        name = name_of(what, self._by, at)
        body = event(what, name, self._by, at=at, series=series_of(count, series.last) if count > 1 else None)
        try:
            await self._client.create(EVENTS, body, namespace=what.namespace)
        except AlreadyExists:
            log.debug("an Event was there already: the answer to its POST was lost", extra={"event": name})
        if not series.name:
            self._unsent -= self._said.get(what) is series
        series.name = name
        self._told(series, count)

    async def _patch(self, what: Saying, series: Series) -> None:
        count = series.count
        await self._client.merge_patch(EVENTS, Key(what.namespace, series.name), {"series": series_of(count, series.last)})
        series.gap = min(2 * series.gap, LAST_REPEAT)
        self._told(series, count)

    def _told(self, series: Series, count: int) -> None:
        series.told = count
        series.due = asyncio.get_running_loop().time() + series.gap

    def _drop(self, what: Saying) -> None:
        series = self._said.pop(what, None)
        if series is not None:
            self._unsent -= not series.name
            self.dropped += 1

    def _refused(self, what: Saying, error: ApiError) -> None:
        """Once for each namespace and reason; what is repeated an hour later is no news."""
        refusal = what.namespace, error.reason or type(error).__name__
        level = logging.DEBUG if refusal in self._refusals else logging.WARNING
        self._refusals[refusal] = None
        if len(self._refusals) > self._kept:
            self._refusals.popitem(last=False)
        log.log(level, "Events are refused: %s", error, extra={"namespace": what.namespace})

    async def _drain(self) -> None:
        waiting = [what for what, series in self._said.items() if series.told < series.count]
        try:
            async with asyncio.timeout(DRAIN):
                await self._send_all(waiting)
        except TimeoutError:
            log.debug("stopped before all Events were sent")
        self.dropped += sum(not series.name for series in self._said.values())

    async def _send_all(self, waiting: Iterable[Saying]) -> None:
        for what in sorted(waiting, key=lambda each: bool(self._said[each].name)):
            try:
                await self._send(what)
            except (Unavailable, Throttled):
                return
            except ApiError as error:
                log.debug("an Event was not sent: %s", error)
