"""Connections to one server, handed out one a request, the one that was used last first.

A pool that walks over all of its connections, asking each whether it is still readable, several times a request, costs more than the
request; here finding a free one is a `pop`. What goes over a connection is its own business. It knows nothing of Kubernetes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Lane(Protocol):
    @property
    def open(self) -> bool: ...

    def reusable(self) -> bool: ...

    def close(self) -> None: ...


L = TypeVar("L", bound=Lane)


@dataclass(frozen=True, slots=True)
class Idle(Generic[L]):
    lane: L
    since: float


class Lanes(Generic[L]):
    """`most` in use at once; the others wait their turn. A connection that nobody wanted for `keep` seconds is closed."""

    def __init__(self, make: Callable[[], L], *, most: int, keep: float) -> None:
        self._make = make
        self._turn = asyncio.Semaphore(most)
        self._keep = keep
        self._idle: deque[Idle[L]] = deque()

    @asynccontextmanager
    async def lane(self) -> AsyncIterator[L]:
        """For one request and its answer."""
        async with self._turn:
            lane = self._free() or self._make()
            try:
                yield lane
            finally:
                self._give_back(lane)

    def close(self) -> None:
        """What is idle; what is in use is closed by its user's leaving it unfinished, or by the next call of this."""
        while self._idle:
            self._idle.popleft().lane.close()

    def _free(self) -> L | None:
        while self._idle:
            lane = self._idle.pop().lane
            if lane.open:
                return lane
            lane.close()
        return None

    def _give_back(self, lane: L) -> None:
        if not lane.reusable():
            lane.close()
            return
        now = asyncio.get_running_loop().time()
        self._idle.append(Idle(lane, now))
        while now - self._idle[0].since > self._keep:
            self._idle.popleft().lane.close()
