"""A transport to a server of its own on the loopback address, and servers that answer in their own ways."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kube.carrier import Carrier
from kube.transport import Transport
from unit_tests.kube.loopback import Loopback, Seen, Wire

PATH = "/api/v1/namespaces/team/configmaps"


Talk = Callable[[Transport, Loopback], Awaitable[Any]]


def talk(place: Path, said: Talk, *, user: Any = None, loop: Callable[[], asyncio.AbstractEventLoop] | None = None, **options: Any) -> Any:
    """`said` with a transport to a server of its own. `user` is of the kubeconfig, or makes it from the server."""

    async def talking() -> Any:
        async with Loopback(place).serving() as server, connected(server, user or {"token": "t0"}, options) as carrier:
            async with asyncio.timeout(20):
                return await said(carrier, server)

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(talking())


@asynccontextmanager
async def connected(server: Loopback, user: Any, options: Any) -> AsyncIterator[Transport]:
    carrier = await Transport.connect(kubeconfig=server.kubeconfig(user(server) if callable(user) else user, **options))
    try:
        yield carrier
    finally:
        await carrier.close()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 — the other side of a socket sets no event here
        await asyncio.sleep(0.001)


async def get(carrier: Carrier, deadline: float = 5.0) -> int:
    return (await carrier.request("GET", PATH, deadline=deadline)).status


def opened(carrier: Carrier, silence: float = 5.0) -> Any:
    return carrier.stream(PATH, params={"watch": "1"}, open_deadline=5, silence=silence)


@asynccontextmanager
async def heard_first(carrier: Carrier) -> AsyncIterator[AsyncIterator[bytes]]:
    """A stream on which a line has come, for as long as the block lasts."""
    async with opened(carrier) as stream:
        found = aiter(stream)
        assert await anext(found)
        yield found


async def forever(seen: Seen, wire: Wire) -> None:
    await asyncio.Event().wait()


async def watching(seen: Seen, wire: Wire) -> None:
    """Watches get a line and stay open; calls are answered."""
    if "watch" not in seen.target:
        await wire.answer()
        return
    await wire.begin()
    await wire.chunk(b'{"type":"first"}\n')
    await asyncio.Event().wait()
