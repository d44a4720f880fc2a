"""Asks a process by gRPC's health protocol whether it serves something.

Loaded late: gRPC takes a tenth of a second to load, and few runs need it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from grpc import aio

CHECK = "/grpc.health.v1.Health/Check"
SERVING = b"\x08\x01"
"""A HealthCheckResponse, written out."""
OPTIONS = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200), ("grpc.enable_http_proxy", 0))


@asynccontextmanager
async def asking(target: str) -> AsyncIterator[Callable[[str], Awaitable[bool]]]:
    """A process that is not there yet, or knows nothing of the service, does not serve it."""
    async with aio.insecure_channel(target, options=OPTIONS) as channel:
        ask = channel.unary_unary(CHECK)

        async def serves(service: str) -> bool:
            name = service.encode()
            try:
                return bool(await ask(b"\x0a" + bytes([len(name)]) + name, timeout=1.0) == SERVING)
            except aio.AioRpcError:
                return False

        yield serves
