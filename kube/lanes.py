"""Connections for httpx, handed out one a request, the one that was used last first.

httpx's own pool walks over all of its connections, asking each whether it is still readable, several times a request: with
twenty of them that is two thirds of a call's time. Here every connection is a pool of one, and finding a free one is a `pop`.
What goes over a connection is httpx's business as ever. It knows nothing of Kubernetes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx

Connect = Callable[[], httpx.AsyncBaseTransport]


@dataclass(frozen=True, slots=True)
class Idle:
    lane: httpx.AsyncBaseTransport
    since: float


class Lanes(httpx.AsyncBaseTransport):
    """`most` requests at once; the others wait their turn. A connection that nobody wanted for `keep` seconds is closed."""

    def __init__(self, connect: Connect, *, most: int, keep: float) -> None:
        self._connect = connect
        self._turn = asyncio.Semaphore(most)
        self._keep = keep
        self._idle: deque[Idle] = deque()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._turn.acquire()
        lane = self._idle.pop().lane if self._idle else self._connect()
        try:
            response = await lane.handle_async_request(request)
        except BaseException:
            self._turn.release()
            await lane.aclose()
            raise
        if isinstance(response.stream, httpx.AsyncByteStream):  # always, on this side of httpx
            response.stream = _Returning(response.stream, lambda: self._give_back(lane))
        return response

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.popleft().lane.aclose()

    async def _give_back(self, lane: httpx.AsyncBaseTransport) -> None:
        self._turn.release()
        now = asyncio.get_running_loop().time()
        self._idle.append(Idle(lane, now))
        while self._idle and now - self._idle[0].since > self._keep:
            await self._idle.popleft().lane.aclose()


class _Returning(httpx.AsyncByteStream):
    """An answer's body, which gives its connection back when it is closed. httpx closes every answer, read or not."""

    def __init__(self, body: httpx.AsyncByteStream, give_back: Callable[[], Awaitable[None]]) -> None:
        self._body = body
        self._give_back = give_back
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            yield chunk

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self._body.aclose()
        finally:
            await self._give_back()
