"""Raw clients: what they are given is what goes over the wire, whether or not HTTP allows it.

Three transports reach one Envoy listener: plain HTTP as a proxy's client sends it (now and then inside a CONNECT, or as HTTP/2
with prior knowledge), and HTTP/1.1 or HTTP/2 inside TLS inside a CONNECT. Certificates are not verified here: other tests do that.
"""

import contextlib
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from policy.request import RawRequest

PATIENCE = 8.0


class Transport(StrEnum):
    PLAIN = "plain"
    HTTP1 = "intercepted h1"
    HTTP2 = "intercepted h2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request. `connect` is the authority of the CONNECT around it, `server_name` its SNI; empty where there is none."""

    transport: Transport
    raw: RawRequest
    connect: str = ""
    server_name: str = ""
    chunked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`status` None: no answer came, `note` says what happened instead. `connect`: the CONNECT was answered, nothing else sent."""

    status: int | None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    connect: bool = False
    note: str = ""

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name), "")


class Gone(Exception):  # noqa: N818 - not an error: an answer that some requests should get
    """The connection was closed, or nothing came."""


def send(port: int, sent: Sent) -> Answer:
    """Through the listener on `port`."""
    with contextlib.ExitStack() as stack:
        try:
            sock: socket.socket = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            refused = tunnel(sock, sent.connect) if sent.connect else None
            if refused:
                return refused
            wrapped = sock if sent.transport is Transport.PLAIN else stack.enter_context(secured(sock, sent))
            return exchange_http2(wrapped, sent.raw) if sent.raw.http2 else exchange_http1(wrapped, sent.raw, chunked=sent.chunked)
        except (OSError, Gone, h2.exceptions.ProtocolError) as error:
            return Answer(status=None, note=f"{type(error).__name__}: {error}")


def tunnel(sock: socket.socket, authority: str) -> Answer | None:
    """None where the tunnel stands."""
    target = authority.encode("latin-1")
    sock.sendall(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n")
    head, rest = read_head(sock)
    status, headers = parsed_head(head)
    if status == 200:
        return None
    return Answer(status=status, headers=headers, body=read_body(sock, rest, headers), connect=True)


@cache
def context_for(transport: Transport) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"] if transport is Transport.HTTP2 else ["http/1.1"])
    return context


def secured(sock: socket.socket, sent: Sent) -> ssl.SSLSocket:
    return context_for(sent.transport).wrap_socket(sock, server_hostname=sent.server_name or None)


def exchange_http1(sock: socket.socket, raw: RawRequest, *, chunked: bool) -> Answer:
    lines = [f"{raw.method} {raw.path} HTTP/1.1", f"Host: {raw.authority}", *(f"{name}: {value}" for name, value in raw.headers)]
    sock.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (in_chunks(raw.body) if chunked else raw.body))
    head, rest = read_head(sock)
    status, headers = parsed_head(head)
    return Answer(status=status, headers=headers, body=b"" if raw.method == "HEAD" else read_body(sock, rest, headers))


def in_chunks(body: bytes) -> bytes:
    """Two chunks, so that what is read must be put together."""
    half = len(body) // 2
    pieces = [piece for piece in (body[:half], body[half:]) if piece]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def read_head(sock: socket.socket) -> tuple[str, bytes]:
    buffer = b""
    while b"\r\n\r\n" not in buffer:
        buffer += more(sock)
    head, _, rest = buffer.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def parsed_head(head: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    line, *fields = head.split("\r\n")
    split = (field.partition(":") for field in fields)
    return int(line.split(" ")[1]), tuple((name, value.strip(" \t")) for name, _, value in split)


def read_body(sock: socket.socket, buffer: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    while len(buffer) < length:
        buffer += more(sock)
    return buffer


def more(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise Gone("connection closed")
    return data


def exchange_http2(sock: socket.socket, raw: RawRequest) -> Answer:
    if isinstance(sock, ssl.SSLSocket) and sock.selected_alpn_protocol() != "h2":
        raise Gone("no HTTP/2 offered")
    config = h2.config.H2Configuration(
        header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False
    )
    connection = h2.connection.H2Connection(config=config)
    connection.initiate_connection()
    pseudo = [(":method", raw.method), (":scheme", raw.scheme), (":authority", raw.authority), (":path", raw.path)]
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [*pseudo, *raw.headers]]
    connection.send_headers(1, headers, end_stream=not raw.body)
    return HTTP2Exchange(sock, connection, raw.body).run()


class HTTP2Exchange:
    """One stream, sent as flow control lets it."""

    def __init__(self, sock: socket.socket, connection: h2.connection.H2Connection, body: bytes) -> None:
        self.sock, self.connection, self.unsent = sock, connection, body
        self.status = 0
        self.headers: tuple[tuple[str, str], ...] = ()
        self.body = bytearray()
        self.done = False

    def run(self) -> Answer:
        while not self.done:
            self.push()
            self.sock.sendall(self.connection.data_to_send())
            for event in self.connection.receive_data(more(self.sock)):
                self.handle(event)
        return Answer(status=self.status, headers=self.headers, body=bytes(self.body))

    def push(self) -> None:
        while self.unsent and (window := self.connection.local_flow_control_window(1)):
            size = min(window, self.connection.max_outbound_frame_size, len(self.unsent))
            self.connection.send_data(1, self.unsent[:size], end_stream=size == len(self.unsent))
            self.unsent = self.unsent[size:]

    def handle(self, event: object) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
            self.status = int(dict(pairs)[":status"])
            self.headers = tuple(pair for pair in pairs if not pair[0].startswith(":"))
        elif isinstance(event, h2.events.DataReceived):
            self.body.extend(event.data)
            self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, h2.events.StreamEnded):
            self.done = True
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
            if self.status:
                self.done = True
            else:
                raise Gone(f"{type(event).__name__} {event.error_code}")
