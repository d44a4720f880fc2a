"""Many changes become one: something is done when it has been quiet for a moment, but not later than a bound after the first."""

import asyncio

QUIET = 0.2
LONGEST = 1.0
"""Seconds, as gateways of this field have them."""


class Quiet:
    def __init__(self, *, quiet: float = QUIET, longest: float = LONGEST) -> None:
        self._quiet, self._longest = quiet, longest
        self._changed = asyncio.Event()

    def touch(self) -> None:
        self._changed.set()

    async def wait(self) -> None:
        """Until something changed and it is time."""
        await self._changed.wait()
        clock = asyncio.get_running_loop().time
        end = clock() + self._longest
        while self._changed.is_set() and clock() < end:
            self._changed.clear()
            await asyncio.sleep(min(self._quiet, max(0.0, end - clock())))
        self._changed.clear()
