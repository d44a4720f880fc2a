"""The world behind Envoy: one server that is every host on a few ports, and a resolver that says so.

It speaks HTTP/1.1 and HTTP/2, in the clear and by TLS, told apart by a connection's first bytes, and records each request
as it came off the wire. It is read by threads, one a connection, because it must not be cleverer than a socket.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events

Certificates = Callable[[str], Path]
"""Server name (empty where none was shown) → a PEM file with chain and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as the upstream got it; text is Latin-1."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    port: int
    tls: bool
    http2: bool


class Upstream:
    """`take` answers what was recorded since it was last asked."""

    def __init__(self, ports: tuple[int, ...], certificates: Certificates) -> None:
        self._certificates = certificates
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._received: list[Received] = []
        self._lock = threading.Lock()
        self._first = self._context("")
        self._first.sni_callback = self._choose
        for port in ports:
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                threading.Thread(target=self._listen, args=(listening(family, address, port),), daemon=True).start()

    def take(self) -> list[Received]:
        with self._lock:
            found, self._received = self._received, []
            return found

    def record(self, received: Received) -> None:
        with self._lock:
            self._received.append(received)

    def _listen(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        port = connection.getsockname()[1]
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError, ValueError), connection:
            tls = connection.recv(1, socket.MSG_PEEK) == b"\x16"
            wrapped = self._handshake(connection) if tls else connection
            with wrapped:
                first = wrapped.recv(65536)
                if first.startswith(b"PRI * HTTP/2"):
                    serve_http2(wrapped, first, lambda *parts: self.record(received(parts, port=port, tls=tls, http2=True)))
                else:
                    serve_http1(wrapped, first, lambda *parts: self.record(received(parts, port=port, tls=tls, http2=False)))

    def _handshake(self, connection: socket.socket) -> ssl.SSLSocket:
        return self._first.wrap_socket(connection, server_side=True)

    def _choose(self, wrapped: "ssl.SSLSocket | ssl.SSLObject", name: str | None, _: ssl.SSLContext) -> None:
        wrapped.context = self._context(name or "")

    def _context(self, name: str) -> ssl.SSLContext:
        """Half of the hosts know no HTTP/2."""
        with self._lock:
            found = self._contexts.get(name)
            if found is None:
                found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                found.load_cert_chain(self._certificates(name))
                found.set_alpn_protocols(["h2", "http/1.1"] if len(name) % 2 else ["http/1.1"])
                self._contexts[name] = found
            return found


Parts = tuple[str, str, list[tuple[str, str]], bytes]


def received(parts: Parts, *, port: int, tls: bool, http2: bool) -> Received:
    method, target, headers, body = parts
    return Received(method=method, target=target, headers=tuple(headers), body=body, port=port, tls=tls, http2=http2)


def listening(family: int, address: str, port: int) -> socket.socket:
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, port))
    server.listen(512)
    return server


def serve_http1(sock: socket.socket, first: bytes, record: Callable[..., None]) -> None:
    buffer = first
    while True:
        while b"\r\n\r\n" not in buffer:
            if not (more := sock.recv(65536)):
                return
            buffer += more
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        method, target, _ = line.split(" ", 2)
        headers = [(name, value.strip(" \t")) for name, _, value in (each.partition(":") for each in fields)]
        body, buffer = body_of(sock, buffer, {name.lower(): value for name, value in headers})
        record(method, target, headers, body)
        content = b"" if method == "HEAD" else b"upstream"
        sock.sendall(b"HTTP/1.1 200 OK\r\nx-upstream: 1\r\ncontent-length: 8\r\n\r\n" + content)


def body_of(sock: socket.socket, buffer: bytes, headers: dict[str, str]) -> tuple[bytes, bytes]:
    """The body and what follows it."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length") or 0)
        while len(buffer) < length:
            buffer += received_more(sock)
        return buffer[:length], buffer[length:]
    body = b""
    while True:
        while b"\r\n" not in buffer:
            buffer += received_more(sock)
        size_text, _, buffer = buffer.partition(b"\r\n")
        size = int(size_text, 16)
        while len(buffer) < size + 2:
            buffer += received_more(sock)
        body, buffer = body + buffer[:size], buffer[size + 2 :]
        if not size:
            return body, buffer


def received_more(sock: socket.socket) -> bytes:
    more = sock.recv(65536)
    if not more:
        raise ConnectionResetError
    return more


def serve_http2(sock: socket.socket, first: bytes, record: Callable[..., None]) -> None:
    config = h2.config.H2Configuration(client_side=False, header_encoding=None, validate_inbound_headers=False)
    connection = h2.connection.H2Connection(config=config)
    connection.initiate_connection()
    streams: dict[int, tuple[list[tuple[str, str]], bytearray]] = {}
    data = first
    while data:
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                streams[event.stream_id] = ([(k.decode("latin-1"), v.decode("latin-1")) for k, v in event.headers], bytearray())
            elif isinstance(event, h2.events.DataReceived):
                streams[event.stream_id][1].extend(event.data)
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                headers, body = streams.pop(event.stream_id)
                pseudo = dict(headers)
                plain = [("host", pseudo[":authority"]), *((name, value) for name, value in headers if not name.startswith(":"))]
                record(pseudo[":method"], pseudo.get(":path", ""), plain, bytes(body))
                head = pseudo[":method"] == "HEAD"
                connection.send_headers(event.stream_id, [(":status", "200"), ("x-upstream", "1")], end_stream=head)
                if not head:
                    connection.send_data(event.stream_id, b"upstream", end_stream=True)
        sock.sendall(connection.data_to_send())
        data = sock.recv(65536)


def resolver(address: str = "127.0.0.1") -> int:
    """A DNS server for which every name is `address`. Answers its port."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    threading.Thread(target=answer_names, args=(sock, socket.inet_aton(address)), daemon=True).start()
    return int(sock.getsockname()[1])


def answer_names(sock: socket.socket, address: bytes) -> None:
    while True:
        query, client = sock.recvfrom(4096)
        end = query.index(b"\0", 12) + 5
        is_a = query[end - 4 : end - 2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 60, 4) + address if is_a else b""
        sock.sendto(query[:2] + b"\x81\x80" + query[4:6] + struct.pack(">HHH", int(is_a), 0, 0) + query[12:end] + answer, client)
