"""What an attempt puts on the wire, byte for byte, and what it saw: no client library has a say in spelling, order or pieces.

Everything that any client ever received is kept in `everything`, to be searched for credentials in the end.
"""

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 12
everything = bytearray()
Socket = socket.socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer. `status` 0: none came, and `ended` says how the connection did: closed, reset or silent."""

    status: int = 0
    head: bytes = b""
    body: bytes = b""
    ended: str = ""

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None

    def __str__(self) -> str:
        return f"{self.status} {self.ended} {self.head[:200]!r} {self.body[:300]!r}"


@dataclass(slots=True)
class Stream:
    """A connection read answer by answer."""

    socket: Socket
    buffer: bytearray = field(default_factory=bytearray)
    ended: str = ""

    def send(self, data: bytes) -> "Stream":
        try:
            self.socket.sendall(data)
        except OSError as error:
            self.ended = self.ended or _ending(error)
        return self

    def pieces(self, data: bytes, size: int = 1, pause: float = 0.0) -> "Stream":
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), size):
            if self.ended:
                break
            self.send(data[start : start + size])
            time.sleep(pause)
        return self

    def answer(self, *, to_head: bool = False, patience: float = PATIENCE) -> Seen:
        """The next answer, past any 100; what else is there stays for the one after it."""
        self.socket.settimeout(patience)
        while True:
            while b"\r\n\r\n" not in self.buffer:
                if not self._more():
                    return Seen(ended=self.ended, body=bytes(self.buffer))
            head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            self.buffer = bytearray(rest)
            status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/") and head.count(b" ") else 0
            if status != 100:
                break
        found = Seen(status=status, head=head)
        bodyless = to_head or status in (204, 304) or status < 200
        body = b"" if bodyless else self._body(found)
        return Seen(status=status, head=head, body=body, ended=self.ended)

    def rest(self, *, patience: float = PATIENCE) -> Seen:
        """Whatever comes until the connection ends."""
        self.socket.settimeout(patience)
        while self._more():
            pass
        return Seen(body=bytes(self.buffer), ended=self.ended)

    def close(self) -> None:
        self.socket.close()

    def _body(self, found: Seen) -> bytes:
        if "chunked" in (found.header("transfer-encoding") or ""):
            while b"0\r\n\r\n" not in self.buffer and self._more():
                pass
            taken, self.buffer = bytes(self.buffer), bytearray()
            return taken
        length = found.header("content-length")
        if length is None:
            return b""
        while len(self.buffer) < int(length) and self._more():
            pass
        taken, self.buffer = bytes(self.buffer[: int(length)]), self.buffer[int(length) :]
        return taken

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(1 << 16)
        except OSError as error:
            self.ended = _ending(error)
            return False
        self.buffer += piece
        everything.extend(piece)
        self.ended = self.ended if piece else "closed"
        return bool(piece)


def _ending(error: OSError) -> str:
    return "silent" if isinstance(error, TimeoutError) else "reset"


def request(target: str, host: str | None, *lines: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    """Text is Latin-1: a line is the bytes that it says."""
    head = [f"{method} {target} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *lines]
    head += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def connect_request(authority: str) -> bytes:
    return request(authority, authority, method="CONNECT")


def client_context(bundle: Path, *alpn: str, verify: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(bundle))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def secure(made: Socket, context: ssl.SSLContext, name: str | None) -> ssl.SSLSocket:
    """Raises OSError where the other end refuses the handshake. `name` None: no SNI."""
    context.check_hostname = context.check_hostname and name is not None
    made.settimeout(PATIENCE)
    return context.wrap_socket(made, server_hostname=name)


class Handshake:
    """TLS whose bytes the test carries, to cut and delay them as it likes."""

    def __init__(self, context: ssl.SSLContext, name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)

    def hello(self) -> bytes:
        with suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._outgoing.read()

    def finish(self, stream: Stream) -> bool:
        """Whether the handshake succeeds over the stream, whose first flight was sent."""
        stream.socket.settimeout(PATIENCE)
        while True:
            try:
                piece = stream.socket.recv(1 << 16)
            except OSError as error:
                stream.ended = _ending(error)
                return False
            if not piece:
                stream.ended = "closed"
                return False
            self._incoming.write(piece)
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                stream.send(self._outgoing.read())
                continue
            except ssl.SSLError:
                return False
            stream.send(self._outgoing.read())
            return True

    def exchange(self, stream: Stream, data: bytes) -> bytes:
        """Sends `data` and reads one piece of answer."""
        self._tls.write(data)
        stream.send(self._outgoing.read())
        while True:
            try:
                return self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                piece = stream.socket.recv(1 << 16)
                if not piece:
                    return b""
                self._incoming.write(piece)
