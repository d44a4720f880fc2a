"""Much work beside requests that must not wait for it: in slices on the event loop, and without the collector's long pauses.

Python's collector stops everything while it looks through all that lives; ten thousand profiles are half a million objects that
live long and form no cycles. So what was compiled is put aside, where it is never looked through again; memory is given
back by reference counts all the same.
"""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

SLICE = 0.002
"""Seconds of work between two looks at what else there is to do: by a clock that goes on meanwhile, as uvloop's does not."""
MANY = 500
"""Compiled profiles that are worth being put aside. What is garbage in that moment stays: a little, and not often."""


class Pace:
    """For one piece of work: `breathe` after each of its steps, `aside` at its end if it was the first of all."""

    def __init__(self) -> None:
        self._since = perf_counter()
        self._steps = 0

    async def breathe(self) -> None:
        self._steps += 1
        if self._steps % MANY == 0:
            gc.freeze()
        if perf_counter() - self._since >= SLICE:
            await asyncio.sleep(0)
            self._since = perf_counter()


def put_aside() -> None:
    """All that there is, once its garbage is gone: takes as long as a collection, so before anybody waits."""
    gc.collect()
    gc.freeze()


@contextmanager
def uncollected(*, many: bool) -> Iterator[None]:
    """For work in a thread, whose collections would stop the loop: of `many` profiles what it has made is put aside."""
    if not many:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
