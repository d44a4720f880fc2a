"""One client's connection, and its own to the API server: request by request, each as the script wants it.

When one of the two ends, so does the other, as if they were one: a client finds out that the server went away exactly as it would
without us.
"""

import asyncio
import time
from collections.abc import Coroutine, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import h11

from e2e.cluster.faults import asked as requests
from e2e.cluster.faults.asked import Asked
from e2e.cluster.faults.lines import Lines
from e2e.cluster.faults.rules import Action, Cut, Delay, Forward, Hang, Reply, Stale, Status, Truncate
from e2e.cluster.faults.script import Script
from e2e.cluster.faults.wire import Message, Peer

T = TypeVar("T")


class Relay:
    def __init__(self, client: Peer, server: Peer, *, script: Script, record: list[Asked], streams: MutableMapping[Lines, Asked]) -> None:
        self._client = client
        self._server = server
        self._script = script
        self._record = record
        self._streams = streams

    async def run(self) -> None:
        """Raises an ExceptionGroup of OSErrors and h11's errors when one end goes."""
        while (message := await _unless_gone(self._server, self._client.request())) is not None:
            asked = _asked(message)
            self._record.append(asked)
            action = self._script.on_request(asked)
            asked.fault = "" if isinstance(action, Forward) else type(action).__name__
            try:
                await _unless_gone(self._client, self._act(asked, message, action))
            finally:
                asked.ended = time.monotonic()
            if not self._client.next():
                return

    async def _act(self, asked: Asked, message: Message, action: Action) -> None:
        match action:
            case Delay():
                await asyncio.sleep(action.seconds)
                await self._act(asked, message, action.then)
            case Status():
                await self._reply(asked, action.reply())
            case Reply():
                await self._reply(asked, action)
            case Hang() | Cut():
                await self._leave_unanswered(asked, message, action)
            case Truncate():
                await self._truncate(asked, message, action.length)
            case Stale():
                await self._forward(asked, _as_of(message, action.resource_version))
            case _:
                await self._forward(asked, message)

    async def _reply(self, asked: Asked, reply: Reply) -> None:
        headers = [*reply.headers, ("Content-Length", str(len(reply.body)))]
        asked.code = reply.code
        head = h11.Response(status_code=reply.code, headers=headers, reason=b"by the test's will")
        await self._client.send(head, h11.Data(data=reply.body), h11.EndOfMessage())

    async def _leave_unanswered(self, asked: Asked, message: Message, action: Hang | Cut) -> None:
        if action.committed:
            await self._ask(asked, message)
            await self._server.rest()
        if isinstance(action, Hang):
            await asyncio.Event().wait()
        self._client.abort()
        raise ConnectionAbortedError

    async def _truncate(self, asked: Asked, message: Message, length: int) -> None:
        head = await self._ask(asked, message)
        asked.code = head.status_code
        body = await self._server.rest()
        await self._client.send(head, h11.Data(data=body[:length]))
        self._client.close()
        raise ConnectionAbortedError

    async def _forward(self, asked: Asked, message: Message) -> None:
        head = await self._ask(asked, message)
        asked.code = head.status_code
        await self._client.send(head)
        # A watch that is refused has a body as any other answer, which does not end with a line.
        if asked.verb == "watch" and asked.code == 200 and dict(head.headers).get(b"content-type", b"").startswith(b"application/json"):
            await self._follow(asked)
        else:
            async for part in self._server.body():
                await self._client.send(h11.Data(data=part))
            await self._client.send(h11.EndOfMessage())
        self._server.next()

    async def _follow(self, asked: Asked) -> None:
        lines = Lines(self._client, self._server, lambda: self._script.on_line(asked))
        self._streams[lines] = asked
        try:
            await lines.run()
        finally:
            del self._streams[lines]

    async def _ask(self, asked: Asked, message: Message) -> h11.Response:
        asked.forwarded = True
        await self._server.send(message.head, h11.Data(data=message.body), h11.EndOfMessage())
        head = await self._server.response()
        asked.answered = True
        return head


async def _unless_gone(peer: Peer, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; cancelled when the peer closes."""
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(_end(peer))
        found = await work
        watcher.cancel()
    return found


async def _end(peer: Peer) -> None:
    await peer.gone()
    raise ConnectionResetError


def _asked(message: Message) -> Asked:
    head = message.head
    assert isinstance(head, h11.Request)
    agent = dict(head.headers).get(b"user-agent", b"").decode("latin-1")
    return requests.read(head.method.decode(), head.target.decode(), began=time.monotonic(), user_agent=agent)


def _as_of(message: Message, resource_version: str) -> Message:
    """The same list at another time. A further page says its time by itself."""
    head = message.head
    assert isinstance(head, h11.Request)
    url = urlsplit(head.target.decode())
    query = dict(parse_qsl(url.query))
    if "continue" not in query:
        query |= {"resourceVersion": resource_version, "resourceVersionMatch": "Exact"}
    target = urlunsplit(url._replace(query=urlencode(query)))
    return Message(head=h11.Request(method=head.method, target=target, headers=head.headers), body=message.body)
