"""Connections to receivers, judged by the address that a name leads to at the moment of connecting.

A URL is judged before, but whoever owns a name can let it lead to a metadata service a second later. So names are looked up
here, what no webhook may reach is taken out, and the connection goes to an address that was judged. TLS still verifies the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore

from policy.webhook_urls import forbidden_address

Resolve = Callable[[str, int], Awaitable[list[str]]]


class AddressRefusedError(httpcore.ConnectError):
    """The name leads to nothing that may be reached."""


async def resolve(host: str, port: int) -> list[str]:
    """By the system's resolver, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Judged(httpcore.AsyncNetworkBackend):
    def __init__(self, *, resolve: Resolve, loopback: bool) -> None:
        self._plain = httpcore.AnyIOBackend()
        self._resolve = resolve
        self._loopback = loopback

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except OSError:
            raise httpcore.ConnectError("the name leads nowhere") from None
        allowed = [address for address in addresses if not forbidden_address(address, loopback=self._loopback)]
        if not allowed:
            raise AddressRefusedError("the name leads to no address that a webhook may have")
        failure = httpcore.ConnectError()
        for address in allowed:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
