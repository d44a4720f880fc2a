"""What kr8s takes for its HTTP client: requests and streams over `lanes` of `wire`s, and nothing else that such a client can do.

No redirect is followed, no cookie kept, no proxy variable heard. Of an answer there is what `transport` reads of it.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from kube.lanes import Lanes
from kube.wire import Asked, Header, Place, Wire


class Reply:
    """As much of an `httpx.Response` as is asked for. `content` is empty for a stream."""

    is_error = False

    def __init__(self, wire: Wire, status_code: int, headers: Mapping[str, str]) -> None:
        self.status_code, self.headers = status_code, headers
        self.content = b""
        self._wire = wire

    def aiter_raw(self) -> AsyncIterator[bytes]:
        return self._wire.chunks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`prefix` is a path below which the server is to be found."""

    place: Place
    prefix: str = ""

    @property
    def host(self) -> str:
        """As a Host header says it."""
        host = f"[{self.place.host}]" if ":" in self.place.host else self.place.host
        return host if self.place.port == (443 if self.place.tls else 80) else f"{host}:{self.place.port}"


class Session:
    """`headers` go with every request."""

    def __init__(self, server: Server, headers: Mapping[str, str], *, most: int, keep: float) -> None:
        self._prefix, self._headers = server.prefix, raw({"host": server.host, **headers})
        self._lanes = Lanes(lambda: Wire(server.place), most=most, keep=keep)
        self.is_closed = False

    async def request(self, **sent: Any) -> Reply:
        async with self.stream(**sent) as reply:
            reply.content = b"".join([chunk async for chunk in reply.aiter_raw()])
        return reply

    @asynccontextmanager
    async def stream(
        self,
        *,
        method: str,
        url: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        content: bytes | None = None,
        extensions: Mapping[str, str] | None = None,  # noqa: ARG002 — the server's other name, which `place` has already
    ) -> AsyncIterator[Reply]:
        target = f"{self._prefix}{url}?{urlencode(params)}" if params else f"{self._prefix}{url}"
        length = {} if content is None else {"content-length": str(len(content))}
        asked = Asked(method=method, target=target, headers=[*self._headers, *raw({**headers, **length})], body=content)
        async with self._lanes.lane() as wire:
            head = await wire.ask(asked)
            yield Reply(wire, head.status_code, {name.decode(): text.decode("latin-1") for name, text in head.headers})

    async def aclose(self) -> None:
        self.is_closed = True
        self._lanes.close()


def raw(headers: Mapping[str, str]) -> list[Header]:
    return [(name.encode(), text.encode()) for name, text in headers.items()]
