"""The sandbox's one way out: accepts on sockets that exist inside, pumps every connection to Envoy's address outside.

It runs in Groyne's process on one edge-triggered epoll that the event loop watches, so a connection costs no task and no
callback for each chunk. It passes bytes on unchanged and judges nothing; but it knows which hosts a connection leads to
(`tunnels`), so that tunnels to a host that an edit has blocked can be closed. Beyond the cap, or when Envoy cannot be reached,
a client is reset at once: fail closed. The same relay serves a command without isolation, on a port of this machine.
"""

import asyncio
import errno
import select
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from groyne.isolation.pump import Pump
from groyne.isolation.tunnels import Sniffer

Target = str | tuple[str, int]
OnRefused = Callable[[str], object]

_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_MOST_EVENTS = 256
_ACCEPTED_AT_ONCE = 64
_OUT_OF_DESCRIPTORS_PAUSE = 0.1
_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    open: int
    accepted: int
    refused: int


class _Connection:
    __slots__ = ("client", "down", "server", "sniffer", "up", "waiting")

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.sniffer = Sniffer()
        self.up = Pump(client, server, self._from_client)
        self.down = Pump(server, client, self._from_server)
        self.waiting = False

    def _from_client(self, chunk: bytes) -> bool:
        self.sniffer.from_client(chunk)
        return self.sniffer.tunnel

    def _from_server(self, chunk: bytes) -> bool:
        self.sniffer.from_server(chunk)
        return not self.sniffer.wants_server_bytes

    def leads_to(self, predicate: Callable[[str, int], bool]) -> bool:
        return self.sniffer.opaque or any(predicate(host, port) for host, port in self.sniffer.hosts)


class Relay:
    """Lives on the running event loop from its creation until `close`; all methods are called on that loop."""

    def __init__(self, listeners: Sequence[socket.socket], target: Target, max_connections: int, on_refused: OnRefused) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_refused = on_refused
        self._target = target
        self._max_connections = max_connections
        self._accepted = 0
        self._refused = 0
        self._connections: dict[int, _Connection] = {}  # by both descriptors
        self._ready: deque[_Connection] = deque()
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._epoll = select.epoll()
        for descriptor, listener in self._listeners.items():
            listener.setblocking(False)
            self._epoll.register(descriptor, select.EPOLLIN)
        self._loop.add_reader(self._epoll.fileno(), self._on_events)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        return tuple(listener.getsockname()[:2] for listener in self._listeners.values())

    def statistics(self) -> Statistics:
        return Statistics(open=len(self._connections) // 2, accepted=self._accepted, refused=self._refused)

    def close_where(self, predicate: Callable[[str, int], bool]) -> int:
        """Reset every connection that leads to a (host, port) for which `predicate` holds; how many there were.

        Connections of which it cannot be told where they lead (an upgrade outside a tunnel) are closed as well.
        """
        chosen = [connection for connection in set(self._connections.values()) if connection.leads_to(predicate)]
        for connection in chosen:
            self._end(connection, reset=True)
        return len(chosen)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        for connection in set(self._connections.values()):
            self._end(connection, reset=True)
        for listener in self._listeners.values():
            listener.close()
        self._epoll.close()

    def _on_events(self) -> None:
        for descriptor, _ in self._epoll.poll(0, _MOST_EVENTS):
            if descriptor in self._listeners:
                self._accept(self._listeners[descriptor])
            elif (connection := self._connections.get(descriptor)) is not None:
                self._pump(connection)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                client, _ = listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                self._pause(listener)
                return
            self._accepted += 1
            self._open(client)

    def _pause(self, listener: socket.socket) -> None:
        """Out of descriptors: leave new connections in the backlog for a moment instead of spinning."""
        self._epoll.unregister(listener)
        self._loop.call_later(_OUT_OF_DESCRIPTORS_PAUSE, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if not self._epoll.closed:
            self._epoll.register(listener, select.EPOLLIN)

    def _open(self, client: socket.socket) -> None:
        room = len(self._connections) // 2 < self._max_connections
        server = self._connect() if room else None
        if server is None:
            self._refuse("ProxyUnreachable" if room else "TooManyConnections")
            _close(client, reset=True)
            return
        client.setblocking(False)
        _no_delay(client)
        connection = _Connection(client, server)
        for end in (client, server):
            self._connections[end.fileno()] = connection
            self._epoll.register(end, _EDGES)

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        self._on_refused(reason)

    def _connect(self) -> socket.socket | None:
        """A socket on its way to Envoy: until it is there, reading and writing would block, which pumps know how to wait for."""
        try:
            server = socket.socket(_family(self._target), socket.SOCK_STREAM)
        except OSError:
            return None
        try:
            server.setblocking(False)
            _no_delay(server)
            server.connect(self._target)
        except OSError as error:
            if error.errno != errno.EINPROGRESS:
                server.close()
                return None
        return server

    def _pump(self, connection: _Connection) -> None:
        if connection.client.fileno() not in self._connections:
            return
        try:
            more = connection.up.run()
            more = connection.down.run() or more
        except OSError:
            self._end(connection, reset=True)
            return
        if connection.sniffer.foreign:
            self._refuse("NotHttp1")
            self._end(connection, reset=True)
        elif connection.up.done and connection.down.done:
            self._end(connection, reset=False)
        elif more and not connection.waiting:
            self._later(connection)

    def _later(self, connection: _Connection) -> None:
        connection.waiting = True
        self._ready.append(connection)
        if len(self._ready) == 1:
            self._loop.call_soon(self._on_ready)

    def _on_ready(self) -> None:
        waiting, self._ready = self._ready, deque()
        for connection in waiting:
            connection.waiting = False
            self._pump(connection)

    def _end(self, connection: _Connection, *, reset: bool) -> None:
        for end in (connection.client, connection.server):
            self._connections.pop(end.fileno(), None)
            _close(end, reset=reset)
        connection.up.close()
        connection.down.close()


def _family(target: Target) -> socket.AddressFamily:
    if isinstance(target, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if ":" in target[0] else socket.AF_INET


def _no_delay(end: socket.socket) -> None:
    if end.family != socket.AF_UNIX:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _close(end: socket.socket, *, reset: bool) -> None:
    with suppress(OSError):
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.close()


def _tell_nobody(_: str) -> None:
    """Nobody wants to know."""


async def open_relay(
    *,
    target: Target,
    listeners: Sequence[socket.socket] = (),
    listen: tuple[str, int] | None = None,
    max_connections: int = 1024,
    on_refused: OnRefused = _tell_nobody,
) -> Relay:
    """Accept on `listeners` (a sandbox's), or on a new socket at `listen` (port 0 chooses one); ours to close from now on.

    `on_refused` is told why a connection was refused here, of which Envoy knows nothing.
    """
    own = [socket.create_server(listen, backlog=1024)] if listen is not None else []
    return Relay([*listeners, *own], target, max_connections, on_refused)
