"""A credential provider behind HTTP: one POST a question, over TLS with our certificate, and never a word of it in a log.

In: a `ProviderRequest`; out: a `ProviderAnswer`, or a `ProviderError` with a fixed word. Only status 200 is an answer;
redirects are not followed, proxy variables not heard, bodies beyond 64 KiB not read. A connection that cannot be made is tried
once more; whatever happens after that is final, because the question may have been heard. All of it within one deadline.
It does not know who asks why, and remembers nothing.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import h11
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from extproc.providers.answers import read_answer
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError, ProviderRequest
from kube.lanes import Lanes
from kube.wire import Asked, Place, Unreachable, Wire

TIMEOUT = 2.0
LONGEST_ANSWER = 64 * 2**10
CONNECTIONS = 100
"""Questions beyond this wait for their turn, within their deadline."""
KEPT = 1.0
"""Servers of all kinds close idle connections after two seconds or more; one that is closed under a request fails it."""
AGAIN_AFTER = 0.05
LONGEST_TOKEN = 16 * 2**10
LONGEST_QUESTION = 256 * 2**10

Tls = Callable[[], ssl.SSLContext]
"""Asked before every question. Another object than last time means other certificates: new connections are made with it."""


class FetchObserver(Protocol):
    """`outcome` is `ok` or a `Failure`."""

    def fetched(self, outcome: str, seconds: float) -> None: ...


class HttpProvider:
    """Use as `async with`, in the loop that it serves. `url` is used as it stands."""

    def __init__(
        self, url: str, *, tls: Tls, wall_clock: Callable[[], datetime], observer: FetchObserver, timeout: float = TIMEOUT
    ) -> None:
        self._address = Address.of(url)
        self._tls = tls
        self._wall_clock = wall_clock
        self._observer = observer
        self._timeout = timeout
        self._line: _Line | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._line:
            self._line.retire()
            self._line = None

    async def fetch(self, ask: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        began, outcome = asyncio.get_running_loop().time(), Failure.INTERNAL.value
        try:
            answer = await self._fetch(ask, min(deadline, self._timeout))
            outcome = "ok"
        except ProviderError as error:
            outcome = error.reason.value
            raise
        except asyncio.CancelledError:
            outcome = Failure.CLOSED.value
            raise
        finally:
            self._observer.fetched(outcome, asyncio.get_running_loop().time() - began)
        return answer

    async def _fetch(self, ask: ProviderRequest, seconds: float) -> ProviderAnswer:
        """Nothing that asyncio, h11 or ssl say may get out: it may hold a header. Hence no chain of causes either."""
        asked = self._address.question(_headers(ask), _body(ask))
        asked_at, wall_clock = asyncio.get_running_loop().time(), self._wall_clock()
        try:
            async with asyncio.timeout(seconds):
                said = await self._said(asked)
            return read_answer(said, ask.keys, asked_at=asked_at, wall_clock=wall_clock)
        except ProviderError as error:
            failure = error.reason
        except TimeoutError:
            failure = Failure.TIMEOUT
        except Exception:  # noqa: BLE001 — whatever the libraries raise, the provider was not reached
            failure = Failure.UNREACHABLE
        raise ProviderError(failure)

    async def _said(self, asked: Asked) -> bytes:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(2),
            wait=wait_fixed(AGAIN_AFTER),
            retry=retry_if_exception_type(Unreachable),
            sleep=asyncio.sleep,
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                async with self._connected() as wire:
                    return await _answer(wire, asked)
        raise AssertionError  # tenacity raises what the last attempt raised

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Wire]:
        tls, old = self._tls(), self._line
        line = self._line = old if old and old.tls is tls else _Line(self._address, tls)
        if old and old is not line:
            old.retire()
        async with line.wire() as wire:
            yield wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL taken apart."""

    host: str
    port: int
    encrypted: bool
    authority: str
    target: str

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        encrypted, target = parts.scheme == "https", (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = parts.port or (443 if encrypted else 80)
        return cls(host=parts.hostname or "", port=port, encrypted=encrypted, authority=parts.netloc, target=target)

    def question(self, headers: Mapping[str, str], body: bytes) -> Asked:
        lines = {"host": self.authority, **headers, "content-length": str(len(body))}
        return Asked(
            method="POST", target=self.target, headers=[(name.encode(), value.encode()) for name, value in lines.items()], body=body
        )

    def place(self, tls: ssl.SSLContext) -> Place:
        return Place(host=self.host, port=self.port, tls=tls if self.encrypted else None)


class _Line:
    """The connections made with one TLS context. A retired one is closed when its last question has its answer."""

    def __init__(self, address: Address, tls: ssl.SSLContext) -> None:
        self.tls = tls
        place = address.place(tls)
        self._lanes = Lanes(lambda: Wire(place), most=CONNECTIONS, keep=KEPT)
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def wire(self) -> AsyncIterator[Wire]:
        self._users += 1
        try:
            async with self._lanes.lane() as wire:
                yield wire
        finally:
            self._users -= 1
            self._close_if_left()

    def retire(self) -> None:
        self._retired = True
        self._close_if_left()

    def _close_if_left(self) -> None:
        if self._retired and not self._users:
            self._lanes.close()


async def _answer(wire: Wire, asked: Asked) -> bytes:
    """A connection that is left before the answer's end is closed, not used again."""
    head = await wire.ask(asked)
    if head.status_code != 200:
        raise ProviderError(Failure.STATUS)
    if _compressed(head):
        raise ProviderError(Failure.INVALID)
    said = bytearray()
    async for chunk in wire.chunks():
        said += chunk
        if len(said) > LONGEST_ANSWER:
            raise ProviderError(Failure.TOO_LARGE)
    return bytes(said)


def _compressed(head: h11.Response) -> bool:
    return any(name == b"content-encoding" and value.lower() != b"identity" for name, value in head.headers)


def _headers(ask: ProviderRequest) -> dict[str, str]:
    """A token that h11 would refuse stands in its error, and that in httpcore's log: it gets no further than here."""
    token = ask.access_token
    if not token or len(token) > LONGEST_TOKEN or not all("!" <= char <= "~" for char in token):
        raise ProviderError(Failure.QUESTION)
    return {
        "authorization": f"Bearer {token}",
        "x-api-action-name": "GetResourceApiKey",
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "groyne",
    }


def _body(ask: ProviderRequest) -> bytes:
    question: dict[str, Any] = {"resourceId": ask.resource_id, "credentialProviderName": ask.provider}
    if ask.parameters:
        question["extraMetadata"] = dict(ask.parameters)
    try:
        body = json.dumps(question, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        raise ProviderError(Failure.QUESTION) from None
    if len(body) > LONGEST_QUESTION:
        raise ProviderError(Failure.QUESTION)
    return body
