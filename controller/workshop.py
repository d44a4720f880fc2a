"""Where a template's Secret is worked out: what is small at once, in the event loop; what is large in a thread, one at a time.

Python runs one thread at a time. Beside threads that compute, the loop gets its turn every few milliseconds, once for each of them, and a
call to the API server is dozens of turns: eight that compute at once make every call slower than all of them together are. What takes
seconds must not hold the loop, though: the Lease has to be renewed, and probes answered.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from policy.program import Selection

SMALL = 20
"""Rules, each as often as it names a host: so many are worked out within some thirty milliseconds."""

P = ParamSpec("P")
T = TypeVar("T")


def small(selection: Selection) -> bool:
    return sum(len(match.domains) for rule in selection.rules for match in rule.match) <= SMALL


class Workshop:
    def __init__(self) -> None:
        self._small, self._large = asyncio.Lock(), asyncio.Lock()

    async def make(self, selection: Selection, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` makes of what stands behind it; `selection` says how much that is."""
        if not small(selection):
            async with self._large:
                return await asyncio.to_thread(work, *args, **kwargs)
        async with self._small:
            made = work(*args, **kwargs)
            # One in a turn of the loop: what has arrived for all others, the Lease's answer too, is heard before the next is made.
            await asyncio.sleep(0)
            return made
