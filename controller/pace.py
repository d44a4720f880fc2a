"""How often one object may be written: against another writer who undoes each write, two a second are enough and more would be a fight."""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

INTERVAL = 0.5
BURST = 2
MOST_KEPT = 20_000


class Pace:
    """A write that comes too early is told how long to wait."""

    def __init__(self) -> None:
        self._written: OrderedDict[Hashable, tuple[float, ...]] = OrderedDict()

    def wait(self, item: Hashable) -> float:
        """Seconds; 0 where it may be written now."""
        past = self._written.get(item, ())
        if len(past) < BURST:
            return 0.0
        return max(0.0, past[0] + INTERVAL * BURST - asyncio.get_running_loop().time())

    def note(self, item: Hashable) -> None:
        past = self._written.pop(item, ())
        self._written[item] = (*past, asyncio.get_running_loop().time())[-BURST:]
        while len(self._written) > MOST_KEPT:
            self._written.popitem(last=False)


class TooSoon(Exception):  # noqa: N818 — not an error: it says when
    def __init__(self, seconds: float) -> None:
        super().__init__(f"to be written again in {seconds:.1f} s")
        self.seconds = seconds
