"""When to look at an edge's files: the kernel says so, and where it says nothing the clock does.

Notifications belong to an inode. A directory that is removed and made again, or a link that leads elsewhere, ends them in silence; so where
the directories lie is looked at every second, and they are watched anew when one moved. Where the kernel can watch no more (its limit is
per user, and other processes use it up), and on file systems that notify nobody, the clock is all there is.

What changed, and whether it is whole, is not said here: whoever is told takes a look at everything.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

LOOK_EVERY = 1.0
STEP_MS = 100
DEBOUNCE_MS = 200

log = logging.getLogger(__name__)

Place = tuple[str, int, int]


async def moments(directories: Sequence[Path], *, look_every: float = LOOK_EVERY) -> AsyncGenerator[None, None]:
    """One soon after each change, and one every `look_every` seconds without any."""
    told = False
    while True:
        watched = places(directories)
        try:
            async with aclosing(_notified(watched, look_every)) as notifications:
                async for _ in notifications:
                    yield
                    if places(directories) != watched:
                        break
        except (OSError, RuntimeError) as error:
            if not told:
                told = True
                log.warning("certificates are not watched but looked at every second", extra={"why": type(error).__name__})
            await asyncio.sleep(look_every)
            yield


async def _notified(watched: Sequence[Place], look_every: float) -> AsyncGenerator[None, None]:
    paths = [path for path, _, _ in watched]
    if not paths:
        await asyncio.sleep(look_every)
        yield
        return
    wait = int(look_every * 1000)
    async for _ in awatch(
        *paths, watch_filter=None, recursive=False, debounce=DEBOUNCE_MS, step=STEP_MS, rust_timeout=wait, yield_on_timeout=True
    ):
        yield


def places(directories: Iterable[Path]) -> tuple[Place, ...]:
    """Those that are there, each once, links followed: what a path leads to is what is watched."""
    found: dict[str, Place] = {}
    for directory in directories:
        try:
            real = directory.resolve(strict=True)
            status = real.stat()
        except (OSError, RuntimeError):
            continue
        found[str(real)] = (str(real), status.st_dev, status.st_ino)
    return tuple(found.values())
