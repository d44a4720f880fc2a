"""How many retries all keys together may have: a bucket that drips, and gets back what a retry took that succeeded.

Each key's own back-off bounds what one key costs, and a thousand keys that fail cost a thousand times that. With the bucket empty,
retries go at the rate at which it drips, whatever the number of keys; once retries succeed again, nothing slows them down. The figures
are those of client-go's default limiter, which drips only.
"""

import asyncio

PER_SECOND = 10.0
BURST = 100


class RetryBudget:
    def __init__(self, *, per_second: float = PER_SECOND, burst: int = BURST) -> None:
        self.per_second, self._burst = per_second, burst
        self._left, self._at = float(burst), 0.0

    @property
    def left(self) -> float:
        self._drip()
        return self._left

    def take(self) -> bool:
        """Whether there was one."""
        self._drip()
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left = min(self._burst, self._left + 1)

    def _drip(self) -> None:
        now = asyncio.get_running_loop().time()
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self.per_second)
        self._at = now
