"""Keeps hidden what is hidden while a command runs: replaced files are covered again, new sockets of the host as well.

In come the paths that were hidden and a way to hide more; nothing goes out. Looking at a few files costs microseconds and is
done often; looking for sockets reads the machine's process list and is done less often, on a thread.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping

from groyne.isolation.sockets import bound_sockets

_FILES_EVERY = 0.1
_SOCKETS_EVERY = 20  # looks at the files between two looks for sockets

Hide = Callable[[Iterable[str]], None]
Identity = tuple[int, int]
Seen = Mapping[str, Identity | None]


class Guard:
    """`hidden` is what was covered at the start, as `look` saw it before: a file replaced since is not what was covered."""

    def __init__(self, hidden: Seen, hide: Hide) -> None:
        self._files = dict(hidden)
        self._sockets = set(hidden.items())
        self._hide = hide

    def add(self, paths: Iterable[str]) -> None:
        """Hide these too, now and from now on."""
        new = [os.path.realpath(path) for path in paths]
        self._files |= look(new)
        self._hide(new)

    async def watch(self) -> None:
        while True:
            for _ in range(_SOCKETS_EVERY):
                await asyncio.sleep(_FILES_EVERY)
                if changed := self._replaced():
                    await asyncio.to_thread(self._hide, changed)
            await asyncio.to_thread(self._cover_new_sockets)

    def _replaced(self) -> list[str]:
        changed = []
        for path, before in self._files.items():
            now = _identity(path)
            if now != before:
                self._files[path] = now
                changed.append(path)
        return changed

    def _cover_new_sockets(self) -> None:
        found = set(look(bound_sockets()).items())
        new = found - self._sockets
        self._sockets |= found
        if new:
            self._hide(path for path, _ in new)


def look(paths: Iterable[str]) -> dict[str, Identity | None]:
    """Each path and which file stands there, if any."""
    return {path: _identity(path) for path in paths}


def _identity(path: str) -> Identity | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
