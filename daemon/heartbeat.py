"""The event loop's pulse: a coroutine that should wake four times a second, and how late it was.

A thread asks for how long the loop has been silent, so the time of the last beat comes from a clock that threads share and that no loop
stops; how late a wake-up was is the loop's own time. Nothing else may be done here: a beat that waits for something is no sign of life.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

INTERVAL = 0.25


class Heartbeat:
    """`clock` is monotonic; `late` is told by how many seconds each beat missed its time."""

    def __init__(self, *, clock: Callable[[], float], late: Callable[[float], None]) -> None:
        self._clock = clock
        self._late = late
        self._last = clock()

    async def run(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            self._last = self._clock()
            planned = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._late(max(0.0, loop.time() - planned))

    def silence(self) -> float:
        """Seconds since the last beat, or since the beginning."""
        return self._clock() - self._last
