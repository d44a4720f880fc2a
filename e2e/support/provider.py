"""A credential provider on loopback: gives everybody the same credential, and remembers who asked with what."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ISSUED = "sk-issued-0123456789"


@dataclass(slots=True)
class Provider:
    """`asked`: what was shown as authorization, and the body. With another `status` than 200 it answers an error that quotes a secret."""

    url: str = ""
    status: int = 200
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@contextmanager
def providing() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            provider.asked.append((self.headers["authorization"], body))
            answer = json.dumps({"apiKey": ISSUED}).encode() if provider.status == 200 else b"an error that quotes sk-live-secret"
            self.send_response(provider.status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
