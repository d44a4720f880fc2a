"""The server at the other end: HTTP or HTTPS on loopback, under any host names, that remembers all it received.

A test gives it `answer`, a function from what was received to what is sent back. Without one it answers 200 and a line of text.
Each answer carries `x-received`, the number of the request among those received: a client's result and the server's
memory are matched by it, and an answer without it came from somewhere else.
"""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from e2e.support.pki import Authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request as it arrived; header names in lower case, values as they were."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    @property
    def host(self) -> str:
        return (self.header("host") or "").rpartition(":")[0] or (self.header("host") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: bytes = b"hello from the upstream\n"
    headers: tuple[tuple[str, str], ...] = (("content-type", "text/plain"),)


Answering = Callable[[Received], Answer]
Streaming = Callable[[Received, BaseHTTPRequestHandler], bool]


@dataclass(slots=True, kw_only=True)
class Upstream:
    port: int
    received: list[Received] = field(default_factory=list)

    def at(self, host: str) -> str:
        return f"{host}:{self.port}"

    def resolve(self, *hosts: str) -> tuple[str, ...]:
        """Values of `--resolve` that lead `hosts` here."""
        return tuple(f"{host}:{self.port}:127.0.0.1" for host in hosts)


def _plain(_: Received) -> Answer:
    return Answer()


def _nothing_special(_: Received, __: BaseHTTPRequestHandler) -> bool:
    return False


@contextmanager
def serve(
    *, certificates: Authority | None = None, hosts: tuple[str, ...] = (), answer: Answering = _plain, stream: Streaming = _nothing_special
) -> Iterator[Upstream]:
    """HTTPS where `certificates` are given. `stream` may take a connection over (WebSocket, SSE) and says whether it did."""
    upstream = Upstream(port=0)
    server = _Server(("127.0.0.1", 0), _handler(upstream, answer, stream))
    if certificates is not None:
        server.socket = _tls(certificates, hosts).wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    upstream.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what some tests are about."""


def _tls(authority: Authority, hosts: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = authority.issue(*hosts)
    context.load_cert_chain(certificate, key)
    return context


def _handler(upstream: Upstream, answer: Answering, stream: Streaming) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"upstream": upstream, "given": staticmethod(answer), "stream": staticmethod(stream)})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    lock = threading.Lock()
    upstream: Upstream
    given: Answering
    stream: Streaming

    def one(self) -> None:
        headers = tuple((name.lower(), value) for name, value in self.headers.items())
        request = Received(method=self.command, target=self.path, headers=headers, body=self._body())
        with self.lock:
            number = len(self.upstream.received)
            self.upstream.received.append(request)
        if not self.stream(request, self):
            self._send(self.given(request), number)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_TRACK = one  # noqa: N815

    def _send(self, answer: Answer, number: int) -> None:
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("x-received", str(number)), ("content-length", str(len(answer.body)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def log_message(self, *_: object) -> None:
        """Tests look at `received`."""
