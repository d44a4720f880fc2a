"""Workers that take keys from a queue and reconcile them, one worker a key, and decide from what came of it when a key comes again.

    Result()                        forgotten until somebody adds the key
    Result(requeue_after=s)         in s seconds
    Result(…, tried=False)          the same, but what failed before is not forgotten: it was too soon to try
    TerminalError                   logged once, forgotten until somebody adds the key
    Conflict, AlreadyExists, NotFound   soon, without noise: another was quicker than the cache
    ApiError with retry_after       after that time at the earliest, and after the key's back-off
    any other error, or no end within `timeout`   logged; after the key's back-off

A reconcile function is given a key and no event: it looks at what is, and may be called for the same key any number of times.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from kube.errors import ApiError
from kube.objects import Key
from kube.outcome import Outcome, Overdue, TerminalError, cause_of, outcome_of, redacted, retry_after
from kube.workqueue import ShutDown, WorkQueue

__all__ = ["Controller", "Outcome", "ReconcileObserver", "Result", "TerminalError"]

K = TypeVar("K", bound=Hashable)
SOONEST = 0.01
"""A `requeue_after` computed from a moment that has passed must not make a loop without rest."""
MOST_TOLD = 10_000
RACE_IS_LOST = 8
"""After so many attempts that all came too late it is no race any more, and somebody should hear of it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    requeue_after: float | None = None
    tried: bool = True
    """False where nothing was done yet: that is no success, and the back-off of a key that fails goes on where it was."""

    def __post_init__(self) -> None:
        if not self.tried and self.requeue_after is None:
            raise ValueError("what was not tried must say when it is to be")


class ReconcileObserver(Protocol):
    """What metrics want to know of a controller. Nothing here may raise."""

    def opened(self, workers: int) -> None: ...

    def begun(self) -> None: ...

    def ended(self, outcome: Outcome, seconds: float) -> None: ...


class Quiet:
    def opened(self, workers: int) -> None:
        pass

    def begun(self) -> None:
        pass

    def ended(self, outcome: Outcome, seconds: float) -> None:
        pass


class Controller(Generic[K]):
    def __init__(
        self,
        name: str,
        reconcile: Callable[[K], Awaitable[Result]],
        queue: WorkQueue[K],
        *,
        workers: int = 1,
        timeout: float,
        grace: float = 5.0,
        observer: ReconcileObserver | None = None,
    ) -> None:
        self._name = name
        self._reconcile = reconcile
        self._queue = queue
        self._workers = workers
        self._timeout = timeout
        self._grace = grace
        self._observer: ReconcileObserver = observer or Quiet()
        self._told: OrderedDict[K, str] = OrderedDict()
        self._observer.opened(workers)

    async def run(self) -> None:
        """Until the queue is shut down and what it still gives is done, or `grace` seconds later: who works on is cancelled then.

        Cancelled itself, it puts the keys in work back into the queue.
        """
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._work(), name=f"{self._name}-{number}") for number in range(self._workers)]
            await self._queue.stopped()
            _, late = await asyncio.wait(workers, timeout=self._grace)
            for worker in late:
                worker.cancel()
        if late:
            log.warning("stopped before %d of its keys were done", len(late), extra={"controller": self._name})

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except ShutDown:
                return
            try:
                await self._attempt(key)
            except asyncio.CancelledError:
                self._queue.add(key)
                raise
            finally:
                self._queue.done(key)

    async def _attempt(self, key: K) -> None:
        with self._observed() as seen:
            try:
                result = await self._in_time(key)
            except asyncio.CancelledError as error:
                # Ours, or one that came out of the work without anybody having cancelled us: a bug there must not end this worker.
                if _being_cancelled():
                    raise
                seen.outcome = self._failed(key, error)
            except Exception as error:  # noqa: BLE001 — whatever one key does, the others go on
                seen.outcome = self._failed(key, error)
            else:
                seen.outcome = self._succeeded(key, result)

    async def _in_time(self, key: K) -> Result:
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._reconcile(key)
        except TimeoutError as error:
            if limit.expired():
                raise Overdue(f"no end after {self._timeout:g} s") from error
            raise

    def _succeeded(self, key: K, result: Result) -> Outcome:
        if result.tried:
            self._queue.forget(key)
            self._told.pop(key, None)
        if result.requeue_after is None:
            return Outcome.SUCCESS
        again = self._queue.add_after if result.tried else self._queue.put_off
        again(key, max(result.requeue_after, SOONEST))
        return Outcome.REQUEUE_AFTER

    def _failed(self, key: K, raised: BaseException) -> Outcome:
        error = cause_of(raised)
        outcome = outcome_of(error)
        if outcome is Outcome.TERMINAL:
            self._queue.forget(key)
            self._tell_once(key, str(error))
            return outcome
        self._told.pop(key, None)
        self._queue.add_rate_limited(key, at_least=retry_after(error))
        self._tell(key, error, outcome)
        return outcome

    def _tell(self, key: K, error: BaseException, outcome: Outcome) -> None:
        retries = self._queue.retries(key)
        fields = {**self._fields(key), "retries": retries}
        if isinstance(error, ApiError):
            race = outcome is Outcome.REQUEUE and retries < RACE_IS_LOST
            said = fields | {"error": f"{type(error).__name__}: {error}"}
            log.log(logging.DEBUG if race else logging.WARNING, "to be tried again", extra=said)
        elif isinstance(error, Overdue):
            log.error("to be tried again: %s", error, exc_info=redacted(error), extra=fields)
        else:
            log.error("failed, to be tried again: %s", type(error).__qualname__, exc_info=redacted(error), extra=fields)

    def _tell_once(self, key: K, message: str) -> None:
        if self._told.get(key) == message:
            return
        self._told[key] = message
        self._told.move_to_end(key)
        while len(self._told) > MOST_TOLD:
            self._told.popitem(last=False)
        log.error("not tried again until it changes: %s", message, extra=self._fields(key))

    def _fields(self, key: K) -> dict[str, str]:
        # `name` is taken in the standard library's records.
        where = {"namespace": key.namespace, "object": key.name} if isinstance(key, Key) else {"object": str(key)}
        return {"controller": self._name, **where}

    @contextmanager
    def _observed(self) -> Iterator["Attempt"]:
        loop = asyncio.get_running_loop()
        began, seen = loop.time(), Attempt()
        self._observer.begun()
        try:
            yield seen
        finally:
            self._observer.ended(seen.outcome, loop.time() - began)


@dataclass(slots=True)
class Attempt:
    """An attempt that was cancelled counts as one to be made again."""

    outcome: Outcome = Outcome.REQUEUE


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
