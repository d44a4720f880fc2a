"""A reconcile function that stands aside while others have much to do: at a cold start, what pods wait for comes before what is said of it.

It is slowed down, not stopped: somebody who edits a profile meanwhile hears of it in the end.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kube.reconcile import Result

PAUSE = 1.0

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside(Generic[K]):
    reconcile: Callable[[K], Awaitable[Result]]
    crowded: Callable[[], bool]

    async def __call__(self, key: K) -> Result:
        if self.crowded():
            await asyncio.sleep(PAUSE)
        return await self.reconcile(key)
