"""How often one object may be written, or looked at because somebody else has written it: against another writer who undoes each write,
two a second are enough and more would be a fight.

An object that is written as often as it may be for ten seconds is contested, and that is told: two programs, or a program and a person,
want different things of it, and neither knows of the other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

INTERVAL = 0.5
BURST = 2
ROW_ENDS = 2 * INTERVAL * BURST
"""Seconds after a write, without another."""
CONTESTED = 20
"""Writes in a row, none much later than the one before."""
MOST_KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Past:
    """The last writes' times, and how many there were in a row."""

    times: tuple[float, ...] = ()
    row: int = 0


class Pace:
    """A write that comes too early is told how long to wait. `contested` hears of an object once for so many writes in a row."""

    def __init__(self, contested: Callable[[Hashable], None] = lambda _: None) -> None:
        self._contested = contested
        self._written: OrderedDict[Hashable, Past] = OrderedDict()

    def wait(self, item: Hashable) -> float:
        """Seconds; 0 where it may be written now."""
        past = self._written.get(item, Past()).times
        if len(past) < BURST:
            return 0.0
        return max(0.0, past[0] + INTERVAL * BURST - asyncio.get_running_loop().time())

    def note(self, item: Hashable) -> None:
        past, now = self._written.pop(item, Past()), asyncio.get_running_loop().time()
        row = 1 if self._over(past) else past.row + 1
        self._written[item] = Past(times=(*past.times, now)[-BURST:], row=row)
        while len(self._written) > MOST_KEPT:
            self._written.popitem(last=False)
        if row % CONTESTED == 0:
            self._contested(item)

    def is_contested(self, item: Hashable) -> bool:
        """It was written as often as it may be for long, and until now."""
        past = self._written.get(item, Past())
        return past.row >= CONTESTED and not self._over(past)

    def take(self, item: Hashable) -> None:
        """It is written now. Raises TooSoon."""
        seconds = self.wait(item)
        if seconds > 0:
            raise TooSoon(seconds)
        self.note(item)

    @staticmethod
    def _over(past: Past) -> bool:
        """The row of writes: whatever comes next begins another."""
        return not past.times or asyncio.get_running_loop().time() >= past.times[-1] + ROW_ENDS


class TooSoon(Exception):  # noqa: N818 — not an error: it says when
    def __init__(self, seconds: float) -> None:
        super().__init__(f"not before {seconds:.1f} s from now")
        self.seconds = seconds
