"""The relay, with real sockets on loopback."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from groyne.isolation.relay import Relay, Target, open_relay

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BULK = os.urandom(1 << 20)
DIGEST = hashlib.sha256(BULK * 24).hexdigest()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while text := await reader.read(65536):
        writer.write(text)
        await writer.drain()
    writer.close()


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As Envoy: CONNECT is answered, then bytes pass."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await echo(reader, writer)


@asynccontextmanager
async def relayed(serve: Serve, *, path: Path | None = None, most: int = 100) -> AsyncIterator[tuple[Relay, int]]:
    server = await (asyncio.start_unix_server(serve, path) if path else asyncio.start_server(serve, "127.0.0.1", 0))
    target: Target = str(path) if path else server.sockets[0].getsockname()[:2]
    relay = await open_relay(target=target, listen=("127.0.0.1", 0), max_connections=most)
    try:
        yield relay, relay.addresses[0][1]
    finally:
        relay.close()
        server.close()


async def connected(port: int, head: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    if head:
        writer.write(head)
        await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def is_reset(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionResetError:
        return True


async def newcomer_is_reset(port: int) -> bool:
    """The kernel accepts before the relay does: the reset comes after a connection that succeeded."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.setblocking(False)
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 5) == b""
        except ConnectionResetError:
            return True


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what happens is in the kernel, and no event tells of it
            await asyncio.sleep(0)


CONNECT = b"CONNECT api.test:443 HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("over_path", [False, True], ids=["to a port", "to a path"])
@pytest.mark.parametrize("head", [b"", CONNECT], ids=["copied", "spliced"])
def test_bulk_arrives_whole_and_in_order(tmp_path: Path, over_path: bool, head: bytes) -> None:
    async def case() -> str:
        path = tmp_path / "envoy" if over_path else None
        async with relayed(tunnel if head else echo, path=path) as (_, port):
            reader, writer = await connected(port, head)
            digest = hashlib.sha256()

            async def send() -> None:
                for _ in range(24):
                    writer.write(BULK)
                    await writer.drain()
                writer.write_eof()

            async with asyncio.TaskGroup() as both:
                both.create_task(send())
                while text := await reader.read(1 << 18):
                    digest.update(text)
            writer.close()
            return digest.hexdigest()

    assert asyncio.run(case()) == DIGEST


def test_a_half_closed_connection_still_gets_its_answer() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.read()
        writer.write(b"after " + got)
        writer.close()

    async def case() -> bytes:
        async with relayed(late) as (_, port):
            reader, writer = await connected(port)
            writer.write(b"the end")
            writer.write_eof()
            return await reader.read()

    assert asyncio.run(case()) == b"after the end"


def test_an_answer_arrives_although_the_server_stopped_listening() -> None:
    """A server that refuses an upload half-way answers and closes: the client must see the answer."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 413 Too Large\r\n\r\n")
        writer.write_eof()
        while await reader.read(1 << 16):
            pass
        writer.close()

    async def case() -> bytes:
        async with relayed(refuse) as (_, port):
            reader, writer = await connected(port)
            writer.write(BULK)
            writer.write_eof()
            return await reader.read()

    assert asyncio.run(case()) == b"HTTP/1.1 413 Too Large\r\n\r\n"


@pytest.mark.parametrize("head", [b"", CONNECT], ids=["copied", "spliced"])
def test_a_reader_that_does_not_read_stops_the_writer(head: bytes) -> None:
    """Back-pressure: what the relay holds is bounded, so that the writer is not served for ever."""

    async def never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if head:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.Event().wait()

    async def case() -> int:
        async with relayed(never_reads) as (_, port):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(head)
            loop = asyncio.get_running_loop()
            client.setblocking(False)
            if head:
                await loop.sock_recv(client, 100)
            sent, idle = 0, 0
            while idle < 200 and sent < 1 << 30:
                try:
                    sent += client.send(BULK)
                    idle = 0
                except BlockingIOError:
                    idle += 1
                await asyncio.sleep(0)
            client.close()
            return sent

    assert asyncio.run(case()) < 64 << 20


def test_a_reset_is_passed_on() -> None:
    async def case() -> bool:
        gone = asyncio.Event()

        async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            except ConnectionResetError:
                gone.set()
            writer.close()

        async with relayed(wait) as (relay, port):
            client = socket.create_connection(("127.0.0.1", port))
            await eventually(lambda: relay.statistics().open == 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            await asyncio.wait_for(gone.wait(), 5)
            await eventually(lambda: relay.statistics().open == 0)
            return gone.is_set()

    assert asyncio.run(case())


def test_beyond_the_cap_a_client_is_reset() -> None:
    async def case() -> tuple[bool, int, bytes]:
        async with relayed(echo, most=1) as (relay, port):
            reader, writer = await connected(port)
            writer.write(b"x")
            first = await reader.read(1)
            return await newcomer_is_reset(port), relay.statistics().refused, first

    assert asyncio.run(case()) == (True, 1, b"x")


def test_without_envoy_a_client_is_reset(tmp_path: Path) -> None:
    async def case() -> bool:
        relay = await open_relay(target=str(tmp_path / "nobody"), listen=("127.0.0.1", 0))
        try:
            return await newcomer_is_reset(relay.addresses[0][1])
        finally:
            relay.close()

    assert asyncio.run(case())


def test_tunnels_to_a_host_are_closed_and_others_are_not() -> None:
    async def case() -> tuple[int, bool, bytes]:
        async with relayed(tunnel) as (relay, port):
            bad, _ = await connected(port, b"CONNECT BAD.test.:443 HTTP/1.1\r\n\r\n")
            good, writer = await connected(port, b"CONNECT good.test:443 HTTP/1.1\r\n\r\n")
            closed = relay.close_where(lambda host, port: (host, port) == ("bad.test", 443))
            gone = await is_reset(bad)
            writer.write(b"still")
            return closed, gone, await good.read(5)

    assert asyncio.run(case()) == (1, True, b"still")


def test_a_busy_tunnel_is_closed_as_well() -> None:
    """While bytes are spliced nobody looks at them: the host must be known all the same."""

    async def case() -> tuple[int, bool]:
        async with relayed(tunnel) as (relay, port):
            reader, writer = await connected(port, CONNECT)
            for _ in range(8):
                writer.write(BULK)
                await reader.readexactly(len(BULK))
            closed = relay.close_where(lambda host, _: host == "api.test")
            return closed, await is_reset(reader)

    assert asyncio.run(case()) == (1, True)


def test_a_client_that_speaks_http2_to_the_proxy_is_refused() -> None:
    """Its CONNECTs could not be seen, so none of its tunnels could be closed."""

    async def case() -> tuple[bool, int]:
        async with relayed(echo) as (relay, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            return await is_reset(reader), relay.statistics().open

    assert asyncio.run(case()) == (True, 0)


def test_many_connections_at_once_each_get_their_own_bytes() -> None:
    async def one(port: int, number: int) -> bool:
        reader, writer = await connected(port)
        writer.write(b"%06d" % number * 1000)
        got = await reader.readexactly(6000)
        writer.close()
        return got == b"%06d" % number * 1000

    async def case() -> tuple[bool, int]:
        async with relayed(echo) as (relay, port):
            results = await asyncio.gather(*(one(port, number) for number in range(90)))
            await eventually(lambda: relay.statistics().open == 0)
            return all(results), relay.statistics().accepted

    assert asyncio.run(case()) == (True, 90)


def test_closing_leaves_no_descriptor_behind() -> None:
    async def case() -> None:
        async with relayed(tunnel) as (_, port):
            reader, writer = await connected(port, CONNECT)
            for _ in range(4):
                writer.write(BULK)
                await reader.readexactly(len(BULK))
            writer.close()

    asyncio.run(case())
    before = len(list(Path("/proc/self/fd").iterdir()))
    asyncio.run(case())
    assert len(list(Path("/proc/self/fd").iterdir())) == before
