"""One connection to a server, and one request on it at a time: HTTP/1.1 over asyncio's own streams, also through a proxy.

A whole HTTP client asks at every step of a call which event loop it runs in, and keeps time, turns, cookies and redirects, none of
which is wanted here: three quarters of what a call costs. Here h11 reads and writes the protocol, and that is all. It knows
nothing of Kubernetes. Deadlines are the caller's, who cancels; what was cancelled, or broke, is not `reusable` and has to be closed.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import h11

READ = 64 * 1024
KEPT_BACK = 512 * 1024
"""Bytes of an answer that wait to be read: beyond them the server waits too."""
LONGEST_HEAD = 64 * 1024
ANOTHER_ADDRESS_AFTER = 0.25

Header = tuple[bytes, bytes]


class Unreachable(OSError):  # noqa: N818 — its text tells why
    """No connection: the address, the proxy or the certificate. The text says which, and holds nothing that was to be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a server is. `name` is what its certificate must say; without `tls` the connection is in plain text."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    name: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    method: str
    target: str
    headers: Sequence[Header]
    body: bytes | None = None


class Wire:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, asked: Asked) -> h11.Response:
        """The answer's head; `chunks` has the rest. Raises OSError and h11.ProtocolError."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await connected(self._place)
        head = h11.Request(method=asked.method, target=asked.target, headers=list(asked.headers))
        events = (head, h11.Data(data=asked.body), h11.EndOfMessage()) if asked.body else (head, h11.EndOfMessage())
        self._writer.write(b"".join(self._http.send(event) or b"" for event in events))
        while isinstance(event := await self._next(), h11.InformationalResponse):
            pass
        if not isinstance(event, h11.Response):
            raise h11.RemoteProtocolError("no answer")
        return event

    async def chunks(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def reusable(self) -> bool:
        """Whether another request may go over it: the answer was read to its end, and the server still listens."""
        if not self.open or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    @property
    def open(self) -> bool:
        """As far as is known: that the server has closed it is told by the event loop, not by asking."""
        if self._reader is None or self._writer is None:
            return False
        return not (self._reader.at_eof() or self._reader.exception() or self._writer.is_closing())

    def close(self) -> None:
        """At once: TLS' farewell would wait for the other side."""
        if self._writer:
            self._writer.transport.abort()

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            assert self._reader  # noqa: S101 — whoever waits for an answer has asked
            self._http.receive_data(await self._reader.read(READ))
        return event


async def connected(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        if place.proxy:
            return await through(place)
        tls: dict[str, Any] = {"ssl": place.tls, "server_hostname": place.name or place.host} if place.tls else {}
        return await asyncio.open_connection(place.host, place.port, limit=KEPT_BACK, **side_by_side(), **tls)
    except OSError as error:
        raise Unreachable(str(error)) from None


def side_by_side() -> dict[str, float]:
    """Of several addresses the next is tried while the one before is silent. uvloop knows no such thing: one after the other there."""
    ours = isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop)
    return {"happy_eyeballs_delay": ANOTHER_ADDRESS_AFTER} if ours else {}


async def through(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A tunnel that an HTTP proxy gives."""
    proxy = urlsplit(place.proxy)
    tls = ssl.create_default_context() if proxy.scheme == "https" else None
    port = proxy.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(proxy.hostname, port, limit=KEPT_BACK, ssl=tls)
    try:
        host = f"[{place.host}]" if ":" in place.host else place.host
        credentials = f"Proxy-Authorization: Basic {basic(proxy.username, proxy.password)}\r\n" if proxy.username else ""
        writer.write(f"CONNECT {host}:{place.port} HTTP/1.1\r\nHost: {host}:{place.port}\r\n{credentials}\r\n".encode())
        agreed((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1:2])
        if place.tls:
            await writer.start_tls(place.tls, server_hostname=place.name or place.host)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.transport.abort()
        raise Unreachable("the proxy's answer is none") from None
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer


def agreed(status: list[bytes]) -> None:
    if status != [b"200"]:
        raise Unreachable("the proxy refuses")


def basic(user: str, password: str | None) -> str:
    return base64.b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
