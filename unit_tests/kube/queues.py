"""A queue with which tests play, and what they take from it."""

import asyncio

from kube.workqueue import WorkQueue


def queue(**settings):
    return WorkQueue(random=lambda: 0.0, **settings)


async def take(q, within=0.0):
    """The next item, or None where none comes in time."""
    try:
        async with asyncio.timeout(within + 1e-3):
            return await q.get()
    except TimeoutError:
        return None


async def all_of(q):
    found = []
    while (item := await take(q)) is not None:
        found.append(item)
        q.done(item)
    return found


def at():
    return round(asyncio.get_running_loop().time(), 6)
