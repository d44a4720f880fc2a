"""Bytes as they come from a stream, cut into complete lines; silence and lines without an end are errors.

A watch that is half open never says so: only that nothing has come for a while tells. What stands after the last line break
when the stream ends is half an event, and is never handed out.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from kube.errors import TimedOut, Unavailable

# An object is at most 1.5 MiB in etcd by default; escaped as JSON in an event it may be several times as long.
LONGEST = 16 * 2**20


async def lines(chunks: AsyncIterator[bytes], *, silence: float, longest: int = LONGEST) -> AsyncGenerator[bytes, None]:
    begun: list[bytes] = []
    size = 0
    while (chunk := await _next(chunks, silence)) is not None:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > longest or any(len(line) > longest for line in others):
            raise Unavailable(f"a line longer than {longest} bytes")
        if others:
            yield b"".join(begun)
            for line in others[:-1]:
                yield line
            begun, size = [others[-1]], len(others[-1])
    if size:
        raise Unavailable("the stream ended within a line")


async def _next(chunks: AsyncIterator[bytes], silence: float) -> bytes | None:
    try:
        async with asyncio.timeout(silence):
            return await anext(chunks, None)
    except TimeoutError:
        raise TimedOut(f"nothing came for {silence:g} s") from None
