"""`ssl` contexts for servers and clients, each of whose handshakes uses what its keeper holds at that moment.

In: a `Keeper`, and who may be at the other end. Out: an `ssl.SSLContext`, to be given once to asyncio, httpx, http.server or whatever else
takes one. Listeners and clients stay as they are when certificates change, and so do their open connections.

A peer is verified within its handshake: the chain by OpenSSL, strictly; then its SPIFFE id by `identity`, before a byte of
the application's is sent or read. That holds for every connection: TLS 1.3 alone, and no session is ever resumed.
"""

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from mtls.identity import IdentityError, Purpose, Refusal, parse_peer, verify
from mtls.keeper import Keeper, require_authorities
from mtls.material import Material
from mtls.spiffe import Peers

NOT_YET_VALID, EXPIRED, WRONG_PURPOSE = 9, 10, 26
"""OpenSSL's numbers; see verify(1)."""
REASONS = {NOT_YET_VALID: Refusal.NOT_YET_VALID, EXPIRED: Refusal.EXPIRED, WRONG_PURPOSE: Refusal.USAGE}
STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN

Check = Callable[[bytes | None], None]
Build = Callable[[Material], ssl.SSLContext]


def server_context(keeper: Keeper, *, peers: Peers | None) -> ssl.SSLContext:
    """`peers` None: whoever the trust bundle vouches for, or, where there is none, anybody."""
    if peers:
        require_authorities(keeper)

    def build(material: Material) -> ssl.SSLContext:
        context = _context(ssl.PROTOCOL_TLS_SERVER, material)
        context.num_tickets = 0
        if material.authorities_pem:
            context.verify_mode = ssl.CERT_REQUIRED
        _verified(context, keeper, peers, Purpose.CLIENT)
        return context

    return Live.over(ssl.PROTOCOL_TLS_SERVER, keeper, build)


def client_context(keeper: Keeper, *, peers: Peers | None) -> ssl.SSLContext:
    """`peers` None: the server is known by the host name that was dialled, as on the web."""
    require_authorities(keeper)

    def build(material: Material) -> ssl.SSLContext:
        context = _context(ssl.PROTOCOL_TLS_CLIENT, material)
        context.check_hostname = peers is None
        _verified(context, keeper, peers, Purpose.SERVER)
        return context

    return Live.over(ssl.PROTOCOL_TLS_CLIENT, keeper, build)


class Live(ssl.SSLContext):
    """Holds no certificate itself: whoever wraps a connection is passed on to a context of what is in force."""

    _keeper: Keeper
    _build: Build
    _alpn: Sequence[str]
    _made: tuple[str, ssl.SSLContext]

    @classmethod
    def over(cls, protocol: int, keeper: Keeper, build: Build) -> Self:
        """Builds once at once, so that what cannot work is known at the start."""
        context = cls(protocol)
        material = keeper.current
        context._keeper, context._build, context._alpn = keeper, build, ()
        context._made = material.version, build(material)
        return context

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        protocols = tuple(alpn_protocols)
        if protocols != self._alpn:
            self._alpn = protocols
            self._made[1].set_alpn_protocols(list(protocols))

    def wrap_bio(self, *args: Any, **named: Any) -> ssl.SSLObject:
        return self._now().wrap_bio(*args, **named)

    def wrap_socket(self, *args: Any, **named: Any) -> ssl.SSLSocket:
        return self._now().wrap_socket(*args, **named)

    def _now(self) -> ssl.SSLContext:
        material = self._keeper.current
        version, context = self._made
        if version != material.version:
            context = self._build(material)
            if self._alpn:
                context.set_alpn_protocols(list(self._alpn))
            self._made = material.version, context
        return context


def _context(protocol: int, material: Material) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= STRICT
    with file_of(material.certificate_pem + b"\n" + material.key_pem) as path:
        context.load_cert_chain(path, password=lambda: "")
    if material.authorities_pem:
        context.load_verify_locations(cadata=material.authorities_pem.decode("ascii"))
    return context


@contextmanager
def file_of(content: bytes) -> Iterator[str]:
    """For who reads from paths alone, like OpenSSL's binding: the files may have changed since they were judged. Linux: never on a disk."""
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("groyne-tls", os.MFD_CLOEXEC)
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{number}"
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.name


def _verified(context: ssl.SSLContext, keeper: Keeper, peers: Peers | None, purpose: Purpose) -> None:
    """Every connection of this context asks `check` at the end of its handshake; what that, or OpenSSL, refuses is counted."""

    def check(der: bytes | None) -> None:
        if peers is not None:
            if der is None:
                raise IdentityError(Refusal.NO_CERTIFICATE, "it has shown no certificate")
            verify(parse_peer(der), peers=peers, purpose=purpose, now=keeper.now())

    bounds: dict[str, Any] = {"_check": staticmethod(check), "_refused": staticmethod(keeper.refused)}
    context.sslobject_class = type("CheckedObject", (_Checked, ssl.SSLObject), bounds)
    context.sslsocket_class = type("CheckedSocket", (_Checked, ssl.SSLSocket), bounds)


class _Checked:
    """Before `SSLObject` or `SSLSocket`. Reading and writing would shake hands by themselves, so they wait for it too."""

    _check: Check
    _refused: Callable[[IdentityError], None]
    _done = False

    def do_handshake(self, *args: Any, **named: Any) -> None:
        try:
            super().do_handshake(*args, **named)  # type: ignore[misc]
            if not self._done:
                self._check(self.getpeercert(binary_form=True))  # type: ignore[attr-defined]
        except IdentityError as error:
            self._refused(error)
            raise ssl.SSLCertVerificationError(1, str(error)) from None
        except ssl.SSLError as error:
            if refusal := _refusal(error):
                self._refused(refusal)
            raise
        self._done = True

    def read(self, *args: Any, **named: Any) -> Any:
        self._ensure()
        return super().read(*args, **named)  # type: ignore[misc]

    def write(self, *args: Any, **named: Any) -> Any:
        self._ensure()
        return super().write(*args, **named)  # type: ignore[misc]

    def send(self, *args: Any, **named: Any) -> Any:
        self._ensure()
        return super().send(*args, **named)  # type: ignore[misc]

    def _ensure(self) -> None:
        if not self._done:
            self.do_handshake()


def _refusal(error: ssl.SSLError) -> IdentityError | None:
    """What OpenSSL found wrong with the peer; not that a peer found something wrong with us, or went."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return IdentityError(REASONS.get(error.verify_code, Refusal.UNTRUSTED), error.verify_message)
    if error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return IdentityError(Refusal.NO_CERTIFICATE, "it has shown no certificate")
    return None
