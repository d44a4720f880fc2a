"""A real HTTPS server on the loopback address, in the test's own event loop, that answers just as badly as it is told.

It asks for a client certificate and takes none as well. `seen` is every request, with the connection that it came on.
"""

import asyncio
import base64
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = dt.timedelta(days=1)
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Seen:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    client: str


class Wire:
    """The connection that a request came on, to answer it well or badly."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def answer(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        more = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        await self.send(f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body)

    async def begin(self) -> None:
        await self.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def cut(self) -> None:
        self._writer.transport.abort()


Answering = Callable[[Seen, Wire], Awaitable[None]]


class Loopback:
    def __init__(self, place: Path) -> None:
        self.place = place
        self.seen: list[Seen] = []
        self.answering: Answering = lambda seen, wire: wire.answer()
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._ca_key, self._ca = issue("test-ca", None)
        self.ca = self._written("ca.crt", self._ca.public_bytes(serialization.Encoding.PEM))
        self.server_files = self._issued("server")
        self.client_files = self._issued("client")

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections."""
        return sum(not writer.is_closing() for writer in self._writers)

    def user(self, *, inline: bool = False) -> dict[str, Any]:
        """A user of a kubeconfig who has the client certificate."""
        cert, key = self.client_files
        if not inline:
            return {"client-certificate": str(cert), "client-key": str(key)}
        return {"client-certificate-data": encoded(cert), "client-key-data": encoded(key)}

    def kubeconfig(self, user: Mapping[str, Any], *, inline: bool = False, **cluster: Any) -> dict[str, Any]:
        ca = {"certificate-authority-data": encoded(self.ca)} if inline else {"certificate-authority": str(self.ca)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, **ca, **cluster}}],
            "users": [{"name": "u", "user": dict(user)}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "current-context": "x",
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Loopback"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.server_files)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        number, peer = len(self._writers), writer.get_extra_info("peercert")
        name = peer["subject"][0][0][1] if peer else ""
        try:
            while True:
                seen = await read_request(reader, number, name)
                self.seen.append(seen)
                await self.answering(seen, Wire(writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    def _issued(self, name: str) -> tuple[Path, Path]:
        key, cert = issue(name, (self._ca, self._ca_key))
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return self._written(f"{name}.crt", cert.public_bytes(serialization.Encoding.PEM)), self._written(f"{name}.key", private)

    def _written(self, name: str, content: bytes) -> Path:
        path = self.place / name
        path.write_bytes(content)
        return path


async def read_request(reader: asyncio.StreamReader, connection: int, client: str) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Seen(method, target, headers, body, connection, client)


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


Issued = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


def issue(name: str, by: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    signer = by[1] if by else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOON - 100 * DAY)
        .not_valid_after(NOON + 36500 * DAY)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return key, builder.sign(signer, hashes.SHA256())
