"""How long to wait before the next attempt: longer each time, never the same for two processes, never beyond a limit.

Every delay lies between `first` and `most`, jitter included. After `reset_after` seconds without a failure the count starts
anew, so that one mishap a day costs little. Randomness comes in; time is the event loop's.
"""

import asyncio
from collections.abc import Callable


class Backoff:
    def __init__(
        self,
        *,
        first: float,
        factor: float = 2.0,
        most: float,
        jitter: float = 0.5,
        reset_after: float | None = None,
        random: Callable[[], float],
    ) -> None:
        self._first = first
        self._factor = factor
        self._jitter = jitter
        # The longest delay before jitter is added, so that jitter still spreads those who wait the longest.
        self._longest = max(first, most / (1 + jitter))
        self._most = most
        self._reset_after = reset_after
        self._random = random
        self._base = first
        self._healthy_at: float | None = None

    def next(self) -> float:
        """The delay before the next attempt. `reset_after` counts from the end of the delay that was given before."""
        self._reset_if_healthy()
        delay = min(self._most, self._base * (1 + self._jitter * self._random()))
        self._base = min(self._base * self._factor, self._longest)
        if self._reset_after is not None:
            self._healthy_at = asyncio.get_running_loop().time() + delay + self._reset_after
        return delay

    def reset(self) -> None:
        self._base = self._first
        self._healthy_at = None

    def _reset_if_healthy(self) -> None:
        if self._healthy_at is not None and asyncio.get_running_loop().time() >= self._healthy_at:
            self.reset()
