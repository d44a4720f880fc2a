"""What waits for a worker: in the order of arrival, what somebody changed before what a start must merely look at again.

An item waits once. Asked for again it keeps its place, or goes to the end of the higher priority. That thousands of items of a
cold start wait must not delay an edit; that edits never end must not keep those items for ever: of `ONE_IN` items taken while
both wait, one is of the lower priority.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
ONE_IN = 10


class Priority(IntEnum):
    """The numbers are controller-runtime's, and stand in the metrics."""

    LOW = -100
    NORMAL = 0


@dataclass(slots=True)
class Wait:
    """`since` when, in the loop's time."""

    priority: Priority
    since: float


class Waiting(Generic[K]):
    def __init__(self) -> None:
        # Ordered dictionaries and not plain ones, in which taking the first of many costs more with each that was taken before.
        self._high: OrderedDict[K, Wait] = OrderedDict()
        self._low: OrderedDict[K, Wait] = OrderedDict()
        self._passed_over = 0

    def push(self, item: K, wait: Wait) -> bool:
        """Whether it was not waiting before."""
        before = self._high.get(item) or self._low.get(item)
        if before is not None and before.priority >= wait.priority:
            return False
        if before is not None:
            del self._low[item]
        self._lane(wait.priority)[item] = Wait(wait.priority, min(before.since, wait.since) if before else wait.since)
        return before is None

    def put_back(self, item: K, wait: Wait) -> None:
        """To the front, since it has been there already."""
        self.push(item, wait)
        lane = self._high if item in self._high else self._low
        lane.move_to_end(item, last=False)

    def pop(self) -> tuple[K, Wait]:
        both = bool(self._high and self._low)
        low = not self._high or (both and self._passed_over >= ONE_IN - 1)
        self._passed_over = self._passed_over + 1 if both and not low else 0
        return (self._low if low else self._high).popitem(last=False)

    def clear(self) -> None:
        self._high.clear()
        self._low.clear()

    def __len__(self) -> int:
        return len(self._high) + len(self._low)

    def __contains__(self, item: K) -> bool:
        return item in self._high or item in self._low

    def depths(self) -> Mapping[Priority, int]:
        return {Priority.NORMAL: len(self._high), Priority.LOW: len(self._low)}

    def since(self) -> Iterator[float]:
        for lane in (self._high, self._low):
            # A copy, made in one step, since metrics are collected in another thread. An ordered dictionary's own `values` looks
            # each key up, which is a step in Python where a key has a hash of its own; a dictionary's does not.
            for wait in list(dict.values(lane)):
                yield wait.since

    def _lane(self, priority: Priority) -> OrderedDict[K, Wait]:
        return self._low if priority is Priority.LOW else self._high
