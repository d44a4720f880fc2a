"""A running watch: its lines go on to the client as they come, each past the script first.

In come the server's lines, out go those that the script lets through, with what it adds. It ends with the server's answer, when it is
cut, or with the client.
"""

import asyncio
from collections.abc import Callable

import h11

from e2e.cluster.faults.rules import Action, CutLine, Insert, Silence, Twice
from e2e.cluster.faults.wire import Peer


class Lines:
    def __init__(self, client: Peer, server: Peer, on_line: Callable[[], Action]) -> None:
        self._client = client
        self._server = server
        self._on_line = on_line
        self._silent = False

    async def run(self) -> None:
        rest = b""
        async for part in self._server.body():
            *whole, rest = (rest + part).split(b"\n")
            for line in whole:
                await self._relay(line + b"\n", self._on_line())
        await self._client.send(h11.EndOfMessage())

    def say(self, line: bytes) -> None:
        if not self._silent:
            self._client.write(h11.Data(data=line + b"\n"))

    def cut(self) -> None:
        self._client.abort()

    async def _relay(self, line: bytes, action: Action) -> None:
        match action:
            case Silence():
                self._silent = True
                await asyncio.Event().wait()
            case Insert():
                await self._client.send(h11.Data(data=action.line + b"\n"), h11.Data(data=line))
            case Twice():
                await self._client.send(h11.Data(data=line), h11.Data(data=line))
            case CutLine():
                await self._client.send(h11.Data(data=line[: len(line) // 2]))
                self._client.close()
                raise ConnectionAbortedError
            case _:
                await self._client.send(h11.Data(data=line))
