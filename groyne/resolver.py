"""The only resolver that Envoy is pointed at: DNS on loopback, UDP and TCP, which answers with public addresses or refuses.

    async with Resolver(static=pins, on_refused=audit) as resolver:
        ... resolver.address ...

What runs at once: one task a UDP query, at most `MAX_WAITING` (more are dropped: the client asks again); one a TCP connection, at most
`MAX_CONNECTIONS`, whose queries are answered one after the other. Nothing that a packet holds raises; a packet that is no query is
dropped. All of it ends with the `async with`. What names mean is `lookup`'s, what packets mean is `dns_wire`'s business.
"""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, cast

from groyne.dns_wire import AAAA, A, Query, Rcode, answer, parse_query
from groyne.lookup import Names, OnRefused, SystemLookup, ask_system

LOOPBACK = "127.0.0.1"
MAX_WAITING = 256
MAX_CONNECTIONS = 64
IDLE = 10.0
_ATTEMPTS = 20


def _say_nothing(_host: str, _address: str) -> None:
    """Nobody wants to know."""


class Resolver:
    """`static` maps hosts to the addresses that they have, private ones too; `on_refused` may be told several times a request."""

    def __init__(
        self, *, static: Mapping[str, tuple[str, ...]], on_refused: OnRefused = _say_nothing, system: SystemLookup = ask_system
    ) -> None:
        self._names = Names(static=static, on_refused=on_refused, system=system)
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._group = asyncio.TaskGroup()
        self.address: tuple[str, int] = (LOOPBACK, 0)

    async def __aenter__(self) -> Self:
        udp, tcp = _sockets()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._group)
            stack.callback(self._stop)
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
            stack.callback(transport.close)
            server = await asyncio.start_server(self._connected, sock=tcp)
            stack.callback(server.close)
            self.address = (LOOPBACK, udp.getsockname()[1])
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        # The group does not hear of the caller's exception: it would wrap it into a group of exceptions.
        await self._stack.aclose()

    def statistics(self) -> Mapping[str, int]:
        return {**self._names.statistics(), "waiting": len(self._tasks), "connections": len(self._connections)}

    def received(self, packet: bytes, sender: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        """One datagram."""
        query = parse_query(packet)
        if query is None or len(self._tasks) >= MAX_WAITING:
            return
        self._spawn(self._reply(query, sender, transport))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, query: Query, sender: tuple[str, int], transport: asyncio.DatagramTransport) -> None:
        reply = await self._answer(query, udp=True)
        if not transport.is_closing():
            transport.sendto(reply, sender)

    async def _answer(self, query: Query, *, udp: bool) -> bytes:
        if query.host is None:
            return answer(query, Rcode.NXDOMAIN, udp=udp)
        if query.qtype not in (A, AAAA):
            return answer(query, Rcode.NOERROR, udp=udp)
        found = await self._names.find(query.host)
        wanted = [address for address in found.addresses if (":" in address) == (query.qtype == AAAA)]
        return answer(query, found.rcode, wanted, found.ttl(asyncio.get_running_loop().time()), udp=udp)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(writer)
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._converse(reader, writer)
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(IDLE):
                packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            query = parse_query(packet)
            if query is None:
                return
            reply = await self._answer(query, udp=False)
            writer.write(len(reply).to_bytes(2) + reply)
            async with asyncio.timeout(IDLE):
                await writer.drain()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()


class _Datagrams(asyncio.DatagramProtocol):
    """Hands datagrams on; errors of a client that has gone do not matter."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not by isinstance: what asyncio hands over became a DatagramTransport by class only in Python 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport:
            self._resolver.received(data, addr, self._transport)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on one port: a client that is told to come back over TCP knows only that."""
    for _ in range(_ATTEMPTS):
        tcp = socket.create_server((LOOPBACK, 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
    raise OSError("no port of the loopback address is free for both UDP and TCP")
