"""What the API server asked to be left alone, and until when: the same is not asked again before, whatever brings the key into work.

A Retry-After concerns the object that it was said of: an admission webhook may say it of one namespace, and others must not wait
for that. A server that is overloaded says it of each.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

LONGEST = 300.0
MOST_KEPT = 20_000


class Patience:
    def __init__(self) -> None:
        self._until: OrderedDict[Hashable, float] = OrderedDict()

    def left(self, item: Hashable) -> float:
        """Seconds; 0 where it may be asked."""
        until = self._until.get(item)
        if until is None:
            return 0.0
        left = until - asyncio.get_running_loop().time()
        if left <= 0:
            del self._until[item]
        return max(0.0, left)

    def note(self, item: Hashable, seconds: float) -> None:
        self._until[item] = asyncio.get_running_loop().time() + min(seconds, LONGEST)
        self._until.move_to_end(item)
        while len(self._until) > MOST_KEPT:
            self._until.popitem(last=False)
