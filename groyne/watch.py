"""When the manifests have changed: told by the kernel within a moment, and found by looking where the kernel says nothing.

Notifications belong to an inode. So an editor that replaces a file, a directory that is removed and made again, and a link to
somewhere else would each end them in silence; what is read is looked at every so often besides, and watched anew where it moved.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

from manifests import files

DEBOUNCE_MS = 300
STEP_MS = 60
LOOK_EVERY_MS = 700

Mark = tuple[str | int, ...]
Fingerprint = tuple[Mark | None, ...]


async def edits(path: Path, *, since: Fingerprint | None = None, look_every_ms: int = LOOK_EVERY_MS) -> AsyncIterator[None]:
    """Yields after each change below the directory, or of the one file. It need not be there all the time.

    `since`: what was there when it was read; what has changed from then until now is a change too. Without it, from now on.
    """
    seen = fingerprint(path) if since is None else since
    while True:
        root = watchable(path)
        watched = mark(root)
        if watched is None:
            await asyncio.sleep(look_every_ms / 1000)
            continue
        notifications = awatch(
            root, debounce=DEBOUNCE_MS, step=STEP_MS, recursive=root == path, rust_timeout=look_every_ms, yield_on_timeout=True
        )
        async for told in notifications:
            now = await asyncio.to_thread(fingerprint, path)
            if now != seen or any(root == path or Path(name).name == path.name for _, name in told):
                yield
            seen = now
            if mark(root) != watched or watchable(path) != root:
                break


def watchable(path: Path) -> Path:
    """The directory itself; for one file, or while there is nothing, the one around it."""
    return path if path.is_dir() else path.parent


def fingerprint(path: Path) -> Fingerprint:
    """Differs as soon as a manifest was written, replaced, added or removed, through links too."""
    return tuple(mark(file, content=True) for file in files.find(path).paths)


def mark(path: Path, *, content: bool = False) -> Mark | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (str(path), status.st_dev, status.st_ino, *((status.st_mtime_ns, status.st_size) if content else ()))
