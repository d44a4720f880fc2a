"""gRPC over ASGI: one method, `Process`, as an application for a server that speaks HTTP/2 and leaves gRPC to us.

In: ASGI's events, whose bytes are gRPC's length-prefixed messages (grpc/grpc, PROTOCOL-HTTP2.md). Out: the same the other
way round, and trailers with the status. Messages are bounded; compressed ones, which Envoy never sends, are refused.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from dataplane.external_protocol import IDENTITY_HEADER
from extproc.edge.driver import Desk, Gone, drive
from extproc.edge.messages import Unreadable
from extproc.edge.protocol import LONGEST, METHOD, SERVICE
from extproc.identity import Peer
from kube.failures import where

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Admit = Callable[[str], str | None]
"""A client's certificate in, its SPIFFE id out; None where it may not speak here."""

PATH = f"/{SERVICE}/{METHOD}"
IDENTITY = IDENTITY_HEADER.encode()
PREFIX = 5
TLS_1_3 = 0x0304

OK, CANCELLED, UNKNOWN, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 0, 1, 2, 8, 12, 13, 16
GRPC = [(b"content-type", b"application/grpc")]

log = logging.getLogger(__name__)


class TooLong(Exception):  # noqa: N818 - what the message is
    pass


class Application:
    """`metadata` says whether the stream's own metadata may name an identity; `admit` judges clients' certificates."""

    def __init__(self, desk: Desk, *, metadata: bool = False, admit: Admit | None = None) -> None:
        self._desk = desk
        self._metadata = metadata
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # Envoy resets each stream that it is done with, and then nobody is there to answer. Whatever else there was to say
        # has been logged: the server would write the error's own words.
        with suppress(Exception):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != PATH:
            await refuse(send, UNIMPLEMENTED)
            return
        peer = self._peer(scope)
        if peer is None:
            await refuse(send, UNAUTHENTICATED)
            return
        await send({"type": "http.response.start", "status": 200, "headers": GRPC, "trailers": True})
        status = OK
        try:
            async for message in drive(messages(receive), peer, self._desk):
                prefixed = b"\0" + len(message).to_bytes(4, "big") + message
                with left_is_gone():
                    await send({"type": "http.response.body", "body": prefixed, "more_body": True})
        except Unreadable:
            status = UNKNOWN
        except TooLong:
            status = RESOURCE_EXHAUSTED
        except Gone:
            # A response that is left open counts as a fault of the application's, and OK would say that all is decided.
            status = CANCELLED
        except Exception as error:  # noqa: BLE001 - its words may hold what the request held
            log.error("a stream ended by an error that nobody expected: %s", where(error))  # noqa: TRY400
            status = INTERNAL
        await finish(send, status)

    def _peer(self, scope: Scope) -> Peer | None:
        spiffe_id = ""
        if self._admit:
            tls = scope["extensions"].get("tls", {})
            chain = tls.get("client_cert_chain", ())
            modern = (tls.get("tls_version") or 0) >= TLS_1_3
            admitted = self._admit(chain[0]) if chain and modern else None
            if admitted is None:
                return None
            spiffe_id = admitted
        told = next((value for name, value in scope["headers"] if name == IDENTITY), b"") if self._metadata else b""
        return Peer(spiffe_id=spiffe_id, metadata=told.decode("latin-1"))


@contextmanager
def left_is_gone() -> Iterator[None]:
    """However a server says that the client has left."""
    try:
        yield
    except Exception:  # noqa: BLE001 - each has an exception of its own
        raise Gone from None


async def messages(receive: Receive) -> AsyncIterator[bytes]:
    """Raises TooLong, Unreadable, Gone."""
    unread = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise Gone
        unread += event.get("body", b"")
        while len(unread) >= PREFIX:
            length = int.from_bytes(unread[1:PREFIX], "big")
            if unread[0] or length > LONGEST:
                raise TooLong if length > LONGEST else Unreadable
            if len(unread) < PREFIX + length:
                break
            message = bytes(unread[PREFIX : PREFIX + length])
            del unread[: PREFIX + length]
            yield message
        if not event.get("more_body"):
            return


async def refuse(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": GRPC, "trailers": True})
    await finish(send, status)


async def finish(send: Send, status: int) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await send({"type": "http.response.trailers", "headers": [(b"grpc-status", str(status).encode())], "more_trailers": False})
