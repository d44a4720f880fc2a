"""Keys of what is to be looked at, from many who add to a few who work: client-go's queue, with controller-runtime's priorities.

    add ──────────────────────────────→ waiting ──get()──→ in work ──done()──→ gone
    add_after, add_rate_limited → later ──↑                   │ added meanwhile: waits again after done(), once
                                          └───────────────────┘

An item is with one worker at most. Added twice while it waits, it comes once; added while in work, it comes again afterwards, once.
Whoever waits in `get` first is served first. What `add_after` asks for is not undone by an `add` before; a retry that
`add_rate_limited` asked for is, since whatever brings the item into work is that retry. Nothing is kept of an item that is done.

Everything happens in one event loop and nothing blocks but `get`, `drain`, `idle` and `stopped`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kube.backoff import Backoff
from kube.budget import RetryBudget
from kube.delays import Delays
from kube.queue_statistics import QueueObserver, Quiet, Statistics
from kube.waiting import Priority, Wait, Waiting

K = TypeVar("K", bound=Hashable)
FIRST_RETRY = 0.005
LONGEST_RETRY = 300.0
LONGEST_TURN = 20.0


class ShutDown(Exception):  # noqa: N818 — no error: there is nothing left to do
    pass


@dataclass(slots=True)
class Work:
    wait: Wait
    began: float


@dataclass(slots=True)
class Failures:
    count: int
    backoff: Backoff


class WorkQueue(Generic[K]):
    def __init__(
        self,
        *,
        random: Callable[[], float],
        first: float = FIRST_RETRY,
        most: float = LONGEST_RETRY,
        budget: RetryBudget | None = None,
        observer: QueueObserver | None = None,
    ) -> None:
        """An item that fails is tried again after `first` seconds, then twice that, up to half added to spread, and never beyond `most`.

        `budget` bounds the retries of all items, also over several queues: one that finds none comes back for it later.
        """
        self._random, self._first, self._most = random, first, most
        self._observer: QueueObserver = observer or Quiet()
        self._waiting: Waiting[K] = Waiting()
        self._working: dict[K, Work] = {}
        self._again: dict[K, Wait] = {}
        self._later: Delays[K] = Delays(self._due)
        self._budget = budget or RetryBudget()
        self._to_retry: Delays[K] = Delays(self._retry_due)
        self._failures: dict[K, Failures] = {}
        self._getters: deque[asyncio.Future[K]] = deque()
        self._stopped, self._drained, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._dropped = False
        self._clock: Callable[[], float] | None = None
        self._adds = self._retries = 0
        self._settle()
        self._observer.opened(self.statistics)

    def add(self, item: K, *, priority: Priority = Priority.NORMAL) -> None:
        if self._stopped.is_set():
            return
        wait = Wait(priority, self._now())
        if self._add_again(item, wait) if item in self._working else self._waiting.push(item, wait):
            self._adds += 1
            self._observer.added()
        self._serve()

    def add_after(self, item: K, seconds: float, *, priority: Priority | None = None) -> None:
        """The earliest moment counts where several are asked for. Without `priority` it is what the item was taken from work with."""
        self._delay(self._later, item, seconds, priority)

    def add_rate_limited(self, item: K, *, at_least: float = 0.0, priority: Priority | None = None) -> None:
        """Again after its back-off, which grows until `forget`; not before `at_least`, and then not all at the same moment."""
        if self._stopped.is_set():
            return
        failures = self._failures.get(item)
        if failures is None:
            backoff = Backoff(first=self._first, most=self._most, random=self._random)
            failures = self._failures[item] = Failures(0, backoff)
        failures.count += 1
        spread = at_least * (1 + self._random() / 10)
        self._delay(self._to_retry, item, max(failures.backoff.next(), spread), priority)

    def put_off(self, item: K, seconds: float) -> None:
        """Again after `seconds`, nothing having been tried: neither a failure nor a success, and the retry of an item that had failed."""
        self._delay(self._to_retry if item in self._failures else self._later, item, seconds, None)

    def forget(self, item: K) -> None:
        """It did not fail, or will not be tried again: the next failure is its first, and no retry is due any more."""
        if self._failures.pop(item, None) is not None:
            self._budget.give_back()
        self._to_retry.discard(item)

    def retries(self, item: K) -> int:
        failures = self._failures.get(item)
        return failures.count if failures else 0

    async def get(self) -> K:
        """The item is in work until `done`. Raises ShutDown where nothing waits and nothing can be added any more."""
        if self._waiting:
            return self._take()
        if self._stopped.is_set():
            raise ShutDown
        future: asyncio.Future[K] = asyncio.get_running_loop().create_future()
        self._getters.append(future)
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(future)
            raise

    def done(self, item: K) -> None:
        work = self._working.pop(item, None)
        if work is None:
            return
        self._observer.worked(self._now() - work.began)
        if wait := self._again.pop(item, None):
            self._waiting.push(item, wait)
        self._serve()

    def shut_down(self, *, drop: bool = False) -> None:
        """Nothing can be added from now on, and what was to come later does not. What waits is still served, unless dropped."""
        self._stopped.set()
        self._dropped |= drop
        self._later.clear()
        self._to_retry.clear()
        self._failures.clear()
        if drop:
            self._waiting.clear()
            self._again.clear()
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_exception(ShutDown())
        self._settle()

    async def stopped(self) -> None:
        """Until `shut_down`."""
        await self._stopped.wait()

    async def drain(self) -> None:
        """Until nothing is in work."""
        await self._drained.wait()

    async def idle(self) -> None:
        """Until nothing waits and nothing is in work. What is to come later is not waited for."""
        await self._idle.wait()

    def statistics(self) -> Statistics:
        """Also from another thread: what is gone through is copied first, in one step."""
        now = self._now() if self._clock else 0.0
        running = [now - work.began for work in list(self._working.values())]
        depths = dict(self._waiting.depths())
        for wait in list(self._again.values()):
            depths[wait.priority] += 1
        return Statistics(
            depth=sum(depths.values()),
            delayed=len(self._later) + len(self._to_retry),
            processing=len(running),
            adds=self._adds,
            retries=self._retries,
            longest_running=max(running, default=0.0),
            unfinished=sum(running),
            oldest_waiting=now - min(self._waiting.since(), default=now),
            depths=depths,
        )

    def _add_again(self, item: K, wait: Wait) -> bool:
        before = self._again.get(item)
        if before is None:
            self._again[item] = wait
            return True
        before.priority = max(before.priority, wait.priority)
        return False

    def _delay(self, delays: Delays[K], item: K, seconds: float, priority: Priority | None) -> None:
        if self._stopped.is_set():
            return
        if priority is None:
            work = self._working.get(item)
            priority = work.wait.priority if work else Priority.NORMAL
        self._retries += 1
        self._observer.retried()
        if seconds > 0:
            delays.set(item, seconds, priority)
        else:
            self.add(item, priority=priority)

    def _due(self, item: K, priority: int) -> None:
        self.add(item, priority=Priority(priority))

    def _retry_due(self, item: K, priority: int) -> None:
        if self._budget.take():
            self._due(item, priority)
        else:
            self._to_retry.set(item, self._turn() * (1 + self._random()) / 2, priority)

    def _turn(self) -> float:
        """In about how many seconds the budget has come round to all who wait for it; soon enough to notice when it has grown."""
        return min(LONGEST_TURN, max(1.0, len(self._to_retry) / self._budget.per_second))

    def _take(self) -> K:
        item, wait = self._waiting.pop()
        now = self._now()
        self._working[item] = Work(wait, now)
        self._to_retry.discard(item)
        self._observer.waited(now - wait.since)
        self._settle()
        return item

    def _serve(self) -> None:
        """An item goes straight to whoever has waited longest, so that nobody who comes meanwhile takes it."""
        while self._waiting and self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(self._take())
        self._settle()

    def _withdraw(self, getter: asyncio.Future[K]) -> None:
        """Its worker was cancelled: perhaps after an item had been handed over, which is then nobody's and waits again, in front."""
        if not getter.done() or getter.cancelled():
            if getter in self._getters:
                self._getters.remove(getter)
        elif getter.exception() is None:
            self._take_back(getter.result())

    def _take_back(self, item: K) -> None:
        work, again = self._working.pop(item), self._again.pop(item, None)
        if again:
            work.wait.priority = max(work.wait.priority, again.priority)
        if not self._dropped:
            self._waiting.put_back(item, work.wait)
        self._serve()

    def _now(self) -> float:
        """The loop's time, kept for whoever asks from outside of the loop."""
        if self._clock is None:
            self._clock = asyncio.get_running_loop().time
        return self._clock()

    def _settle(self) -> None:
        _mark(self._drained, on=not self._working)
        _mark(self._idle, on=not self._working and not self._waiting)


def _mark(event: asyncio.Event, *, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()
