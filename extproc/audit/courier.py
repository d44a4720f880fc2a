"""One delivery: an attempt within its time, and two more where the receiver was not reached or asks for another.

Tried again are connections that cannot be made, 429 and 5xx, after a fraction of a second that chance chooses. A request that
may have been heard and was not answered in time is not: the receiver would be told twice. Redirects are not followed, an answer's
body is not read beyond what lets the connection be used again, and nothing that a receiver says goes anywhere.
"""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import httpcore
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from extproc.audit.connecting import AddressRefusedError, Judged, Resolve, resolve
from extproc.audit.reasons import Dropped, Reason
from extproc.audit.rendering import Delivery

ATTEMPTS = 3
FIRST_WAIT = 0.2
"""Seconds at most before the second attempt; before the third three times as long."""
CONNECTIONS = 32
IDLE = 1.0
"""Seconds that an unused connection is kept: servers close theirs after two or more, and a request on its way then is lost."""
READ = 16 * 1024
"""Bytes of an answer's body that are read, to use the connection again."""


class Carrier(Protocol):
    async def carry(self, delivery: Delivery) -> int:
        """The answer's status. Raises httpcore's errors and TimeoutError."""
        ...


class HttpCarrier:
    """Use as `async with`. `loopback`: receivers on the sender's own machine may be reached."""

    def __init__(self, *, tls: ssl.SSLContext, loopback: bool, resolve: Resolve = resolve) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS,
            keepalive_expiry=IDLE,
            network_backend=Judged(resolve=resolve, loopback=loopback),
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._pool.__aexit__(kind, error, trace)

    async def carry(self, delivery: Delivery) -> int:
        url = delivery.url
        target = httpcore.URL(scheme=url.scheme.encode(), host=url.host.encode(), port=url.port, target=url.target.encode())
        length = [(b"content-length", str(len(delivery.body)).encode())]
        headers = [(b"host", url.authority.encode()), *delivery.headers, *length]
        async with (
            asyncio.timeout(delivery.timeout),
            self._pool.stream(delivery.method, target, headers=headers, content=delivery.body) as answer,
        ):
            await self._read(answer)
            return answer.status

    async def _read(self, answer: httpcore.Response) -> None:
        """A longer body closes the connection when the block ends."""
        read = 0
        async for chunk in answer.aiter_stream():
            read += len(chunk)
            if read > READ:
                return


class _AgainError(Exception):
    """Worth another attempt; ends as its reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Courier:
    """`chance` gives a number from 0 to 1."""

    def __init__(self, carrier: Carrier, *, chance: Callable[[], float], retried: Callable[[], None]) -> None:
        self._carrier = carrier
        self._chance = chance
        self._retried = retried

    async def deliver(self, delivery: Delivery) -> None:
        """Raises Dropped."""
        attempts = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=self._wait,
            retry=retry_if_exception_type(_AgainError),
            before_sleep=lambda _: self._retried(),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    await self._attempt(delivery)
        except _AgainError as last:
            raise Dropped(last.reason) from None

    def _wait(self, state: RetryCallState) -> float:
        longest = FIRST_WAIT * 3.0 ** (state.attempt_number - 1)
        return longest * (0.5 + self._chance() / 2)

    async def _attempt(self, delivery: Delivery) -> None:
        """What the libraries say may hold what was sent, so that no chain of causes leaves this place."""
        try:
            status = await self._carrier.carry(delivery)
        except AddressRefusedError:
            raise Dropped(Reason.ADDRESS) from None
        except httpcore.ConnectError:
            raise _AgainError(Reason.UNREACHABLE) from None
        except (TimeoutError, httpcore.TimeoutException):
            raise Dropped(Reason.TIMEOUT) from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError):
            raise Dropped(Reason.UNREACHABLE) from None
        if status == 429 or status >= 500:
            raise _AgainError(Reason.STATUS)
        if not 200 <= status < 300:
            raise Dropped(Reason.STATUS)
