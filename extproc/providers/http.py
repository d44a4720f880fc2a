"""A credential provider behind HTTP: one POST a question, over TLS with our certificate, and never a word of it in a log.

In: a `ProviderRequest`; out: a `ProviderAnswer`, or a `ProviderError` with a fixed word. Only status 200 is an answer;
redirects are not followed, proxy variables not heard, bodies beyond 64 KiB not read. A connection that cannot be made is tried
once more; whatever happens after that is final, because the question may have been heard. All of it within one deadline.
It does not know who asks why, and remembers nothing.

httpx and httpcore write requests and header fields into the log below WARNING: the process keeps them at that level.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, Self

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from extproc.providers.answers import read_answer
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError, ProviderRequest
from kube.lanes import Lanes

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
        self._url = url
        self._tls = tls
        self._wall_clock = wall_clock
        self._observer = observer
        self._timeout = timeout
        self._line: _Line | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._line:
            await self._line.retire()
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
        """Nothing that httpx, h11, ssl or tenacity say may get out: it may hold a header. Hence no chain of causes either."""
        headers, body = _headers(ask), _body(ask)
        asked_at, wall_clock = asyncio.get_running_loop().time(), self._wall_clock()
        try:
            async with asyncio.timeout(seconds):
                said = await self._said(headers, body, seconds)
            return read_answer(said, ask.keys, asked_at=asked_at, wall_clock=wall_clock)
        except ProviderError as error:
            failure = error.reason
        except TimeoutError:
            failure = Failure.TIMEOUT
        except Exception:  # noqa: BLE001 — whatever the libraries raise, the provider was not reached
            failure = Failure.UNREACHABLE
        raise ProviderError(failure)

    async def _said(self, headers: Mapping[str, str], body: bytes, seconds: float) -> bytes:
        attempts = AsyncRetrying(
            stop=stop_after_attempt(2),
            wait=wait_fixed(AGAIN_AFTER),
            retry=retry_if_exception_type((httpx.ConnectError, httpx.ConnectTimeout)),
            sleep=asyncio.sleep,
            reraise=True,
        )
        async for attempt in attempts:
            with attempt:
                async with self._connected() as client:
                    return await _post(client, self._url, headers, body, connect=seconds / 2)
        raise AssertionError  # tenacity raises what the last attempt raised

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[httpx.AsyncClient]:
        tls, old = self._tls(), self._line
        line = self._line = old if old and old.tls is tls else _Line(tls)
        async with line.used() as client:
            if old and old is not line:
                await old.retire()
            yield client


class _Line:
    """The connections made with one TLS context. A retired one is closed when its last question has its answer."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.tls = tls
        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEPT)
        lanes = Lanes(lambda: httpx.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False), most=CONNECTIONS, keep=KEPT)
        self._client = httpx.AsyncClient(transport=lanes, trust_env=False, follow_redirects=False)
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator[httpx.AsyncClient]:
        self._users += 1
        try:
            yield self._client
        finally:
            self._users -= 1
            await self._close_if_left()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_left()

    async def _close_if_left(self) -> None:
        if self._retired and not self._users:
            await self._client.aclose()


async def _post(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], body: bytes, *, connect: float) -> bytes:
    """A connection may take half of the time, so that there is a second half for another one."""
    timeout = httpx.Timeout(None, connect=connect)
    async with client.stream("POST", url, headers=headers, content=body, timeout=timeout) as response:
        if response.status_code != 200:
            raise ProviderError(Failure.STATUS)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise ProviderError(Failure.INVALID)
        said = bytearray()
        async for chunk in response.aiter_raw():
            said += chunk
            if len(said) > LONGEST_ANSWER:
                raise ProviderError(Failure.TOO_LARGE)
        return bytes(said)


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
