"""The servers of the world outside: each writes down every byte, the SNI, the peer and the time, and answers whatever is spoken.

TLS is met with the certificate of the server's name, HTTP with 200 and the server's name, anything else with a word. What was
recorded is the judge of most attempts: a refusal counts only if nothing of it arrived here.
"""

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

PATIENCE = 60


@dataclass(slots=True, kw_only=True)
class Visit:
    """One connection. `raw` is what came inside TLS, where there was TLS."""

    server: str
    port: int
    at: float
    sni: str | None = None
    tls: bool = False
    raw: bytearray = field(default_factory=bytearray)
    moments: list[float] = field(default_factory=list)
    """When each piece of `raw` came."""

    @property
    def requests(self) -> list[bytes]:
        """Every request line that stands at the start of a line: a smuggled one too."""
        return [line for line in bytes(self.raw).split(b"\r\n") if line.endswith((b" HTTP/1.1", b" HTTP/1.0"))]


class Recorder:
    """All servers of one world share one memory."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.questions: list[bytes] = []
        self.zone: dict[bytes, tuple[str, ...]] = {}
        """Addresses by lower-case name, as the name server answers them, good for no second."""
        self._open: list[socket.socket] = []

    def stream(self, server: str, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        listener.settimeout(None)
        self._open.append(listener)
        threading.Thread(target=self._accept, args=(server, listener, tls), daemon=True).start()

    def names(self, listener: socket.socket) -> None:
        """A name server that remembers every question."""
        listener.settimeout(None)
        self._open.append(listener)
        threading.Thread(target=self._answer_names, args=(listener,), daemon=True).start()

    def close(self) -> None:
        for listener in self._open:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _answer_names(self, listener: socket.socket) -> None:
        while True:
            try:
                question, sender = listener.recvfrom(1500)
            except OSError:
                return
            if not question:
                return
            with suppress(OSError, IndexError):
                name, kind, asked = _asked(question)
                self.questions.append(name)
                listener.sendto(_answer(question[:2] + b"\x81\x80", asked, kind, self.zone.get(name)), sender)

    def _accept(self, server: str, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            visit = Visit(server=server, port=connection.getsockname()[1], at=time.monotonic())
            self.visits.append(visit)
            threading.Thread(target=self._visited, args=(visit, connection, tls), daemon=True).start()

    def _visited(self, visit: Visit, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        connection.settimeout(PATIENCE)
        with suppress(OSError, ValueError), connection:
            first = connection.recv(1, socket.MSG_PEEK)
            if first != b"\x16" or tls is None:
                _converse(visit, connection)
                return
            visit.tls = True
            visit.sni = ""
            with tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
                _remember_sni(visit, secure)
                _converse(visit, secure)


def _asked(question: bytes) -> tuple[bytes, int, bytes]:
    """Name, type, and the question as it stood."""
    labels, at = [], 12
    while size := question[at]:
        labels.append(question[at + 1 : at + 1 + size])
        at += 1 + size
    return b".".join(labels).lower(), int.from_bytes(question[at + 1 : at + 3]), question[12 : at + 5]


def _answer(head: bytes, asked: bytes, kind: int, addresses: tuple[str, ...] | None) -> bytes:
    if addresses is None:
        return head[:3] + b"\x83" + b"\0\1" + bytes(6) + asked
    families = {1: socket.AF_INET, 28: socket.AF_INET6}
    found = [socket.inet_pton(families[kind], text) for text in addresses if kind in families and (":" in text) == (kind == 28)]
    records = b"".join(b"\xc0\x0c" + kind.to_bytes(2) + b"\0\1" + bytes(4) + len(data).to_bytes(2) + data for data in found)
    return head + b"\0\1" + len(found).to_bytes(2) + bytes(4) + asked + records


_sni = threading.local()


def listening_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def named(_: ssl.SSLSocket, name: str, __: ssl.SSLContext) -> None:
        _sni.name = name

    context.sni_callback = named
    return context


def _remember_sni(visit: Visit, secure: ssl.SSLSocket) -> None:
    _sni.name = None
    try:
        secure.do_handshake()
    finally:
        visit.sni = _sni.name


def _converse(visit: Visit, connection: socket.socket) -> None:
    reader = _Reader(visit, connection)
    while head := reader.until(b"\r\n\r\n"):
        if not head.split(b"\r\n")[0].endswith((b" HTTP/1.1", b" HTTP/1.0")):
            connection.sendall(b"reached " + visit.server.encode())
            continue
        fields = _fields(head)
        if b"100-continue" in fields.get(b"expect", b"").lower():
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            reader.until(b"0\r\n\r\n")
        else:
            reader.exactly(int(fields.get(b"content-length", b"0")))
        body = b"" if head.startswith(b"HEAD ") else b"reached " + visit.server.encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-server: %s\r\ncontent-length: %d\r\n\r\n%s" % (visit.server.encode(), len(body), body))


def _fields(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _is_foreign(text: bytes) -> bool:
    line, newline, _ = text.partition(b"\n")
    return bool(text) and (not text[:1].isalpha() or (bool(newline) and not line.rstrip().endswith((b"HTTP/1.1", b"HTTP/1.0"))))


class _Reader:
    def __init__(self, visit: Visit, connection: socket.socket) -> None:
        self._visit, self._connection, self._buffer = visit, connection, b""

    def until(self, end: bytes) -> bytes:
        """Up to and with `end`. Without it: what is there, once it cannot become HTTP; nothing when the client has gone."""
        while end not in self._buffer:
            if end == b"\r\n\r\n" and _is_foreign(self._buffer):
                return self._take(len(self._buffer))
            if not self._more():
                return b""
        return self._take(self._buffer.index(end) + len(end))

    def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> bool:
        piece = self._connection.recv(1 << 16)
        self._buffer += piece
        self._visit.raw += piece
        self._visit.moments += [time.monotonic()] if piece else []
        return bool(piece)


def arrived(visits: Sequence[Visit], before: Sequence[int] = ()) -> list[Visit]:
    """What came since `raw` was as long as `before` says, where more came than a connection; also on connections that are used again."""
    known = [*before, *(0 for _ in visits[len(before) :])]
    news = [(visit, replace(visit, raw=visit.raw[length:], moments=visit.moments)) for visit, length in zip(visits, known, strict=True)]
    return [news for number, (visit, news) in enumerate(news) if news.raw or (visit.tls and number >= len(before))]
