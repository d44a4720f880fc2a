"""Items that are due later: each once, at the earliest of the moments asked for it, then handed on in the order of those moments.

In go an item, seconds and a value to keep with it; out, through `fire`, the item and the highest of its values. One timer of the
event loop stands for all items; what is taken back leaves the heap soon after, so that memory follows the number of items and
not the number of requests. It knows no queue.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
SLACK = 64
"""Below so many stale entries the heap is not tidied."""


@dataclass(slots=True)
class Due:
    when: float
    number: int
    value: int


class Delays(Generic[K]):
    def __init__(self, fire: Callable[[K, int], None]) -> None:
        self._fire = fire
        self._due: dict[K, Due] = {}
        # An entry counts only while `_due` still says the same number of its item.
        self._heap: list[tuple[float, int, K]] = []
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, item: K, seconds: float, value: int) -> None:
        when = asyncio.get_running_loop().time() + seconds
        due = self._due.get(item)
        if due is not None:
            due.value = max(due.value, value)
            if due.when <= when:
                return
        self._numbers += 1
        self._due[item] = Due(when, self._numbers, due.value if due else value)
        heappush(self._heap, (when, self._numbers, item))
        self._tidy()
        self._arm()

    def discard(self, item: K) -> None:
        if self._due.pop(item, None) is not None:
            self._tidy()
            self._arm()

    def clear(self) -> None:
        self._due.clear()
        self._heap.clear()
        self._arm()

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, item: K) -> bool:
        return item in self._due

    def _arm(self) -> None:
        """The timer is that of the first item that counts; without one there is none."""
        while self._heap and not self._counts(self._heap[0]):
            heappop(self._heap)
        when = self._heap[0][0] if self._heap else None
        if self._timer is not None:
            if self._timer.when() == when:
                return
            self._timer.cancel()
        self._timer = None if when is None else asyncio.get_running_loop().call_at(when, self._ring)

    def _ring(self) -> None:
        # A loop may ring a hair before the moment asked for: what it rings for is due all the same.
        now = asyncio.get_running_loop().time()
        now = max(now, self._timer.when()) if self._timer else now
        self._timer = None
        ready = []
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)
            if self._counts(entry):
                ready.append((entry[2], self._due.pop(entry[2]).value))
        self._arm()
        for item, value in ready:
            self._fire(item, value)

    def _counts(self, entry: tuple[float, int, K]) -> bool:
        due = self._due.get(entry[2])
        return due is not None and due.number == entry[1]

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._due) + SLACK:
            self._heap = [entry for entry in self._heap if self._counts(entry)]
            heapify(self._heap)
