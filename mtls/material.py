"""Certificate, key and trust bundle of an edge, read from its files as one and found to belong together.

In: `TlsFiles` and what the certificate is for. Out: `Material`, an immutable value that contexts and credentials are made of, or
`MaterialError`. Whoever renews the files writes one after the other, or exchanges the directory under a reader: what is read is taken only
if nothing changed meanwhile and the key is the certificate's.

Messages name paths and say what is wrong, never what a file holds. Whether the certificate is in time is for the keeper to weigh.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mtls.files import TlsError, TlsFiles
from mtls.identity import IdentityError, Purpose, check_leaf, extension, spiffe_id
from mtls.spiffe import SpiffeId

LARGEST = 4 * 1024 * 1024
"""Of one file; the public roots of the web are a quarter of a megabyte."""
ATTEMPTS = 3

Mark = tuple[int, ...]


class MaterialError(TlsError):
    """The files, as they are now, cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    certificate_pem: bytes
    """The edge's own certificate first, then those above it."""
    key_pem: bytes = field(repr=False)
    authorities_pem: bytes | None
    begins: datetime
    ends: datetime
    """When the first certificate of the own chain ends."""
    authorities_end: datetime | None
    """When the last authority ends: until then somebody can be verified."""
    identity: SpiffeId | None
    version: str
    """Of all contents; says nothing of them."""

    def valid(self, now: datetime) -> bool:
        return self.begins <= now < self.ends


def read(files: TlsFiles, purposes: Iterable[Purpose] = ()) -> Material:
    """Blocks on the disk."""
    for _ in range(ATTEMPTS):
        before = look(files)
        contents = [_contents(files.edge, path) for path in files.paths]
        if look(files) == before:
            return _judged(files, contents, tuple(purposes))
    raise MaterialError(f"TLS for {files.edge}: {_list(files.paths)} keep changing while they are read")


def look(files: TlsFiles) -> tuple[Mark | None, ...]:
    """Differs as soon as a file was written or exchanged, links followed. None: it is not there, or cannot be looked at."""
    return tuple(_mark(path) for path in files.paths)


def _mark(path: Path) -> Mark | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _contents(edge: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(LARGEST + 1)
    except OSError as error:
        raise MaterialError(f"TLS for {edge}: {path}: {error.strerror}") from None
    if len(found) > LARGEST:
        raise MaterialError(f"TLS for {edge}: {path} is larger than {LARGEST} bytes")
    return found


def _judged(files: TlsFiles, contents: Sequence[bytes], purposes: Sequence[Purpose]) -> Material:
    pem, key, *rest = contents
    chain = _certificates(files.edge, files.certificate, pem)
    _check_key(files, chain[0], key)
    identity = _own_identity(files, chain[0], purposes)
    authorities = _authorities(files, rest[0]) if rest else []
    return Material(
        certificate_pem=_text(chain),
        key_pem=key,
        authorities_pem=_text(authorities) if rest else None,
        begins=max(each.not_valid_before_utc for each in chain),
        ends=min(each.not_valid_after_utc for each in chain),
        authorities_end=max((each.not_valid_after_utc for each in authorities), default=None),
        identity=identity,
        version=hashlib.sha256(b"\0".join(contents)).hexdigest(),
    )


def _certificates(edge: str, path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise MaterialError(f"TLS for {edge}: {path} holds no certificates in PEM, or not whole ones") from None


def _check_key(files: TlsFiles, leaf: x509.Certificate, pem: bytes) -> None:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise MaterialError(f"TLS for {files.edge}: {files.key} is encrypted: keys with a passphrase are not supported") from None
    except (ValueError, UnsupportedAlgorithm):
        raise MaterialError(f"TLS for {files.edge}: {files.key} holds no private key in PEM, or not a whole one") from None
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise MaterialError(f"TLS for {files.edge}: the key in {files.key} is not the one of the first certificate in {files.certificate}")


def _public(key: object) -> bytes:
    found: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return found


def _own_identity(files: TlsFiles, leaf: x509.Certificate, purposes: Sequence[Purpose]) -> SpiffeId | None:
    """None where it has no URI: a webhook is known by its DNS name."""
    try:
        check_leaf(leaf, *purposes)
        names = extension(leaf, x509.SubjectAlternativeName)
        if names is None or not names.get_values_for_type(x509.UniformResourceIdentifier):
            return None
        return spiffe_id(leaf)
    except IdentityError as error:
        raise MaterialError(f"TLS for {files.edge}: {files.certificate}: {error}") from None


def _authorities(files: TlsFiles, pem: bytes) -> list[x509.Certificate]:
    assert files.authorities is not None  # noqa: S101 — it was read
    found = _certificates(files.edge, files.authorities, pem)
    for place, each in enumerate(found, start=1):
        if not _may_sign(each):
            raise MaterialError(f"TLS for {files.edge}: certificate {place} in {files.authorities} is no authority's")
    return found


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        constraints = extension(certificate, x509.BasicConstraints)
    except IdentityError:
        return False
    return constraints is not None and constraints.ca


def _text(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _list(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
