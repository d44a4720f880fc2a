"""A credential provider in the smallest form that is still honest: what `docs/providers.md` describes, in one file.

It reads who may have what from a JSON file, anew for every question, and answers over TLS to clients with a certificate. Of what
it is asked it logs the sandbox's client id, the credential's name and the status: never a token, never a credential.
Run it with --help; the README shows a whole round.
"""

import argparse
import hmac
import json
import ssl
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

LONGEST_QUESTION = 256 * 2**10
PATIENCE = 10.0
"""A client that says nothing for so many seconds is left."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: "Server"

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("content-length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= LONGEST_QUESTION:
            self.close_connection = True
            self.answer(HTTPStatus.BAD_REQUEST, {}, "-")
            return
        status, said, about = self.server.decide(self.headers, self.rfile.read(length))
        self.answer(status, said, about)

    def answer(self, status: HTTPStatus, said: Mapping[str, Any], about: str) -> None:
        body = json.dumps(said).encode()
        self.send_response_only(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(f"{status.value} {about}", flush=True)

    def log_message(self, *_: object) -> None:
        """http.server would log request lines of its own."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, listen: tuple[str, int], book: Path, tls: ssl.SSLContext | None) -> None:
        self.book = book
        super().__init__(listen, Handler)
        if tls:  # the handshake is made by the connection's own thread: a slow client keeps nobody waiting
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def decide(self, headers: Mapping[str, str], body: bytes) -> tuple[HTTPStatus, Mapping[str, Any], str]:
        """Status, answer, and what may be logged."""
        book = json.loads(self.book.read_text())
        sandbox = known(book["sandboxes"], headers.get("authorization", ""))
        if sandbox is None:
            return HTTPStatus.UNAUTHORIZED, {}, "-"
        try:
            question = json.loads(body)
            client, name = question["resourceId"], question["credentialProviderName"]
        except (ValueError, KeyError, TypeError):
            return HTTPStatus.BAD_REQUEST, {}, sandbox["clientId"]
        if headers.get("x-api-action-name") != "GetResourceApiKey":
            return HTTPStatus.BAD_REQUEST, {}, sandbox["clientId"]
        # The token says who asks; it may not ask in another's name, and gets only what the book grants it.
        if client != sandbox["clientId"] or name not in sandbox["may"] or name not in book["credentials"]:
            return HTTPStatus.FORBIDDEN, {}, sandbox["clientId"]
        return HTTPStatus.OK, book["credentials"][name], f"{client} {name}"

    def handle_error(self, *_: object) -> None:
        """Broken connections and handshakes are the clients' business; of our own mistakes the class is enough."""
        kind = sys.exc_info()[0]
        if kind and not issubclass(kind, OSError):
            print(f"failed: {kind.__name__}", file=sys.stderr, flush=True)


def known(sandboxes: Mapping[str, Any], authorization: str) -> Mapping[str, Any] | None:
    """Whose token it is. Compared in constant time with each."""
    said = authorization.removeprefix("Bearer ").encode("latin-1", "replace")
    found = [sandbox for token, sandbox in sandboxes.items() if hmac.compare_digest(token.encode(), said)]
    return found[0] if found else None


def server_tls(cert: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Whoever has no certificate of that authority does not get as far as asking."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(cert, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def main() -> None:
    parser = argparse.ArgumentParser(description="A small credential provider for Groyne's ext-proc.")
    parser.add_argument("--book", type=Path, required=True, help="JSON: who may have what; see book.json")
    parser.add_argument("--listen", default="127.0.0.1:8443", help="address and port; port 0 takes a free one")
    parser.add_argument("--cert", type=Path, help="the server's certificate")
    parser.add_argument("--key", type=Path, help="its key")
    parser.add_argument("--client-ca", type=Path, help="the authority of clients' certificates")
    options = parser.parse_args()
    files = (options.cert, options.key, options.client_ca)
    host, _, port = options.listen.rpartition(":")
    if any(files) and not all(files):
        parser.error("--cert, --key and --client-ca: all three or none")
    if not any(files) and not ip_address(host).is_loopback:
        parser.error("without certificates it listens on a loopback address only")
    json.loads(options.book.read_text())
    server = Server((host, int(port)), options.book, server_tls(*files) if all(files) else None)
    print(f"listening on {server.server_address[0]}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
