"""The port itself, in threads of its own, so that it also answers when the event loop does not.

Whoever reaches it may be slow or hostile, and must neither exhaust the process nor keep a probe from its answer. A connection carries one
request, whose head is small, and ends after a few seconds whatever its client does. There are so many connections at most; a new one
takes the oldest one's place, since a probe is answered at once and what is old is stuck.
"""

import errno
import logging
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from typing import Any

from daemon.certificate_files import CertificateFiles
from daemon.health import Answer, plain
from daemon.settings import MistakeError

DEADLINE = 5.0
MOST_CONNECTIONS = 16
LONGEST_HEAD = 16 * 1024
LONGEST_UNREAD = 64 * 1024
BACKLOG = 128
POLL = 0.25
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT, errno.ENOPROTOOPT})

Respond = Callable[[str, str], Answer]
"""Target and `Accept` in."""

log = logging.getLogger(__name__)


class HealthServer:
    """Listens from its making on; `start` and `stop` belong to whoever owns the process."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        respond: Respond,
        certificate: CertificateFiles | None = None,
        deadline: float = DEADLINE,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        connections = Connections(most=most, deadline=deadline)
        self._server = Server(listen(host, port), respond, certificate, connections)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL,), name="health", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.socket.getsockname()[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for a quarter of a second at most, and only if it was started."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._server.connections.cut_all()


def listen(host: str, port: int) -> socket.socket:
    try:
        return bound(host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
        raise MistakeError(f"health-host, health-port: cannot listen on `{host}`, port {port}: {why}") from None


def bound(host: str, port: int) -> socket.socket:
    """`::` means both families; where the kernel has no IPv6, the one that there is."""
    if host == "::":
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        except OSError as error:
            if error.errno not in NO_IPV6:
                raise
        except ValueError:  # what `create_server` says where it knows of no dual stack
            pass
        return socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 - probes come from outside the pod
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


class Connections:
    """Those that are open, the oldest first. None is touched after its thread has let go of it."""

    def __init__(self, *, most: int, deadline: float) -> None:
        self._most = most
        self.deadline = deadline
        self._since: dict[socket.socket, float] = {}
        self._lock = threading.Lock()

    def admit(self, connection: socket.socket) -> bool:
        """False where even those that are being ended are too many."""
        with self._lock:
            if len(self._since) >= 2 * self._most:
                return False
            self._since[connection] = time.monotonic()
            for each in list(self._since)[: -self._most]:
                cut(each)
        return True

    def gone(self, connection: socket.socket) -> None:
        with self._lock:
            self._since.pop(connection, None)

    def cut_overdue(self) -> None:
        overdue = time.monotonic() - self.deadline
        with self._lock:
            for each in [each for each, since in self._since.items() if since < overdue]:
                cut(each)

    def cut_all(self) -> None:
        with self._lock:
            for each in self._since:
                cut(each)


def cut(connection: socket.socket) -> None:
    """Below TLS: whoever waits for this connection's bytes, or to write some, is told at once."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, respond: Respond, certificate: CertificateFiles | None, connections: Connections) -> None:
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.respond = respond
        self.certificate = certificate
        self.connections = connections

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.accepted()
        try:
            connection.settimeout(self.connections.deadline)
            if self.certificate:
                # The handshake waits for the client, so it is the connection's own thread that does it.
                connection = self.certificate.context().wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except (OSError, ValueError):
            connection.close()
            raise OSError from None
        return connection, address

    def accepted(self) -> tuple[socket.socket, Any]:
        try:
            return self.socket.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                time.sleep(POLL)  # the connection stays in the queue, and asking again at once would not help
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.connections.admit(request):
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        self.connections.gone(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        self.connections.cut_overdue()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Clients come and go; what is no matter of the connection is a bug."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.error("a request could not be answered", exc_info=True)  # noqa: LOG014 - socketserver calls from its handler


class Handler(BaseHTTPRequestHandler):
    server: Server
    command = ""
    default_request_version = request_version = "HTTP/1.0"
    """No answer without a status line, however old the client says it is."""

    def handle(self) -> None:
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
        head = self.head()
        if head is None:
            return
        self.rfile.close()
        self.rfile = BytesIO(head)
        self.raw_requestline = self.rfile.readline()
        if len(head) > LONGEST_HEAD:
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self.parse_request():
            self.send(self.answer())
        self.linger()

    def head(self) -> bytes | None:
        """None where the client went before its end."""
        read = b""
        while b"\r\n\r\n" not in read and b"\n\n" not in read and len(read) <= LONGEST_HEAD:
            more = self.connection.recv(4096)
            if not more:
                return None
            read += more
        return read

    def linger(self) -> None:
        """To close with something unread would take the answer back, so some more is read."""
        with suppress(OSError):
            socket.socket.shutdown(self.connection, socket.SHUT_WR)
            left = LONGEST_UNREAD
            while left > 0 and (more := self.connection.recv(4096)):
                left -= len(more)

    def answer(self) -> Answer:
        if self.command not in {"GET", "HEAD"}:
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD")
        return self.server.respond(self.path, self.headers.get("Accept", ""))

    def send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Connection", "close")
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Nothing of what the client sent comes back to it."""
        status = HTTPStatus(code)
        self.send(plain(status, status.phrase))
