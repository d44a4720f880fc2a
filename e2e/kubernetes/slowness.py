"""How much longer things take than they would if this machine had nothing else to do: bounds in seconds are stretched by that.

Measured anew each time, by a little work of this process, whose threads the proxies are. What must hold on any machine, such as that two
leaders' writes never overlap, is not stretched.
"""

import time

WORK = 0.1
MOST = 4.0
"""Beyond it a bound would say nothing any more."""


def slowness() -> float:
    """Seconds that pass for a second of work: 1 where nobody else wants the cores."""
    began, end = time.monotonic(), time.thread_time() + WORK
    while time.thread_time() < end:
        pass
    return min(max((time.monotonic() - began) / WORK, 1.0), MOST)


def allowed(seconds: float) -> float:
    return seconds * slowness()
