"""What a work queue says of itself: figures to be asked for, and moments told to whoever counts them.

`kube.metrics` is the one observer that we have; the queue works without any.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from kube.waiting import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """`depth` counts what waits, items in work that are to come again included. Durations are seconds, 0 where there is nothing."""

    depth: int
    delayed: int
    processing: int
    adds: int
    retries: int
    longest_running: float
    unfinished: float
    oldest_waiting: float
    depths: Mapping[Priority, int] = field(default_factory=dict)


class QueueObserver(Protocol):
    """What metrics want to know of a queue. Nothing here may raise."""

    def opened(self, statistics: Callable[[], Statistics]) -> None:
        """Once; `statistics` may be asked for the figures at any time afterwards."""

    def added(self) -> None: ...

    def retried(self) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def worked(self, seconds: float) -> None: ...


class Quiet:
    def opened(self, statistics: Callable[[], Statistics]) -> None:
        pass

    def added(self) -> None:
        pass

    def retried(self) -> None:
        pass

    def waited(self, seconds: float) -> None:
        pass

    def worked(self, seconds: float) -> None:
        pass
