"""HTTP/1.1 over asyncio's streams, both ways: h11 judges the bytes, this moves them. It knows nothing of Kubernetes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import h11

_READ = 1 << 16
_HEAD_LIMIT = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request or an answer whose body is known in full."""

    head: h11.Request | h11.Response
    body: bytes


class Peer:
    """One end of a connection: the client that asks us, or the server that we ask."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        self._reader = reader
        self._writer = writer
        self._state = h11.Connection(role, max_incomplete_event_size=_HEAD_LIMIT)

    async def request(self) -> Message | None:
        """None at the connection's end."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        return Message(head=head, body=await self.rest())

    async def response(self) -> h11.Response:
        """Only its head: `body` or `rest` reads on."""
        while True:
            found = await self._event()
            if isinstance(found, h11.Response):
                return found
            if not isinstance(found, h11.InformationalResponse):
                raise ConnectionResetError("the other end closed before it answered")

    async def rest(self) -> bytes:
        return b"".join([part async for part in self.body()])

    async def body(self) -> AsyncIterator[bytes]:
        while not isinstance(found := await self._event(), h11.EndOfMessage):
            if not isinstance(found, h11.Data):
                raise ConnectionResetError("the other end closed within a message")
            yield bytes(found.data)

    async def send(self, *events: h11.Event) -> None:
        for event in events:
            self.write(event)
        await self._writer.drain()

    def write(self, event: h11.Event) -> None:
        self._writer.write(self._state.send(event) or b"")

    async def gone(self) -> None:
        """Until the other end closes. What it sends before is kept for the next request."""
        with suppress(ConnectionError):
            while found := await self._reader.read(_READ):
                self._state.receive_data(found)

    def next(self) -> bool:
        """Ready for another request on this connection."""
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
            return True
        return False

    def close(self) -> None:
        """After what was sent."""
        self._writer.close()

    def abort(self) -> None:
        """At once: what was sent may be lost."""
        self._writer.transport.abort()

    async def _event(self) -> object:
        while (found := self._state.next_event()) is h11.NEED_DATA:
            self._state.receive_data(await self._reader.read(_READ))
        return found
