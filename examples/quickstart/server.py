"""The outside world of the demo, on loopback: an API that wants a key, an MCP server, a documentation site, and a paste site.

All four are one HTTPS server under four names, with a certificate from an authority made at start and forgotten at the end.
It remembers every request, so that the demo can show what really arrived. It knows nothing of Groyne.
"""

import datetime as dt
import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

API, MCP, DOCS, PASTE = HOSTS = ("api.harbour.test", "mcp.harbour.test", "docs.harbour.test", "paste.elsewhere.test")
GREEN, PLAIN = ("\033[32m", "\033[0m") if sys.stdout.isatty() else ("", "")
AUTHORITY = "Public CA of this demo"
TICKETS = [{"id": 7, "title": "Crane 3 drifts to port"}, {"id": 9, "title": "Gate 4 does not close at spring tide"}]


class World(ThreadingHTTPServer):
    """Serves until closed; `seen` holds (host, method, path, Authorization) of every request."""

    daemon_threads = True

    def __init__(self, directory: Path, key: str) -> None:
        self.key, self.seen = key, []
        self.authority_file, context = certificates(directory)
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def receive(self, host: str, method: str, path: str, authorization: str | None) -> None:
        """What arrives is shown as it arrives: what was refused on the way is not seen here."""
        self.seen.append((host, method, path, authorization))
        print(f"       {GREEN}▸ {host} received {method} {path}, Authorization: {authorization or 'none'}{PLAIN}", flush=True)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.receive(host, self.command, self.path, self.headers.get("Authorization"))
        sites = {API: self.api, MCP: lambda: self.mcp(body), DOCS: lambda: (200, "How to moor a ship: slowly.\n")}
        status, text = sites.get(host, lambda: (200, "thank you for your secrets\n"))()
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

    def api(self) -> tuple[int, str]:
        if self.headers.get("Authorization") != f"Bearer {self.server.key}":
            return 401, '{"error": "wrong or missing key"}\n'
        return 200, json.dumps(TICKETS) + "\n"

    def mcp(self, body: bytes) -> tuple[int, str]:
        call = json.loads(body)
        result = {"tool": call["params"]["name"], "found": len(TICKETS)}
        return 200, json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}) + "\n"

    def log_message(self, *_: object) -> None:
        """The demo tells what happened."""


def certificates(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate as a file, and a server context with a certificate from it."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])
    authority = (
        builder(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .add_extension(usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, API)]), authority_name, server_key)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .add_extension(usage(signs_certificates=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    authority_file, chain = directory / "authority.pem", directory / "server.pem"
    authority_file.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    chain.write_bytes(server_key.private_bytes(serialization.Encoding.PEM, form, plain) + server.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return authority_file, context


def builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)  # noqa: TID251, UP017 - a server's certificate starts now
    day = dt.timedelta(days=1)
    named = x509.CertificateBuilder(issuer_name=issuer, subject_name=subject, public_key=key.public_key())
    return named.serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)


def usage(*, signs_certificates: bool) -> x509.KeyUsage:
    never = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    signs = {"key_cert_sign": signs_certificates, "crl_sign": signs_certificates}
    return x509.KeyUsage(digital_signature=True, **signs, **dict.fromkeys(never, False))
