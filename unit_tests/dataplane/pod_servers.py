"""What a test's pod dials: a resolver, web servers, one that speaks first, and a decoy where only a client's own choice leads.

They remember what arrived, so that a test sees what a connection came to.
"""

import socket
import socketserver
import struct
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SERVER, SERVER6 = "203.0.113.10", "2001:db8:2::10"
BANNER = b"220 hello\r\n"


class Seen:
    """What arrived where, since the last step."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.dialled: list[str] = []

    def take(self) -> dict[str, Any]:
        taken = {"names": sorted(set(self.names)), "requests": list(self.requests), "dialled": sorted(set(self.dialled))}
        self.__init__()  # type: ignore[misc]
        return taken


SEEN = Seen()


class Names(socketserver.BaseRequestHandler):
    """A resolver that knows every name: `both…` has two addresses, `six…` only that of IPv6, all others only that of IPv4."""

    def handle(self) -> None:
        query, sock = self.request
        end = query.index(b"\0", 12) + 5
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        name = ".".join(labels)
        SEEN.names.append(name)
        kind = struct.unpack(">H", query[end - 4 : end - 2])[0]
        address = b""
        if kind == 1 and not name.startswith("six"):
            address = socket.inet_aton(SERVER)
        elif kind == 28 and name.startswith(("both", "six")):
            address = socket.inet_pton(socket.AF_INET6, SERVER6)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(address)) + address if address else b""
        head = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", int(bool(address))) + b"\0\0\0\0"
        sock.sendto(head + query[12:end] + answer, self.client_address)


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        SEEN.requests.append({"path": self.path, "headers": headers, "port": self.server.server_address[1]})
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """Asks no resolver for its own name, unlike its parent."""

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Site6(Site):
    address_family = socket.AF_INET6


class Names6(socketserver.UDPServer):
    address_family = socket.AF_INET6


class Banner(socketserver.BaseRequestHandler):
    """Speaks first, then echoes one line."""

    def handle(self) -> None:
        SEEN.dialled.append(self.server.server_address[0])
        self.request.sendall(BANNER)
        self.request.sendall(self.request.recv(1000))


class Decoy(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        SEEN.dialled.append(f"{self.server.server_address[0]}:{self.server.server_address[1]}")
        self.request.sendall(b"decoy")


class Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Threaded6(Threaded):
    address_family = socket.AF_INET6
