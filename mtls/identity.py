"""Who a certificate speaks for, by SPIFFE's rules for X.509, and whether that is somebody who may speak here.

In: a peer's certificate whose chain the TLS library has already verified; who is expected; for which purpose; the time. Out: a
`SpiffeId`, or `IdentityError` with a reason from a short list. Names in CN or DNS play no part: one URI takes their place, exactly one,
since of several nobody could say which is meant.
"""

from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtls.files import TlsError
from mtls.spiffe import Peers, SpiffeId

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)
UNREADABLE = (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class Refusal(StrEnum):
    """Why a peer may not speak; also a metric's label."""

    NO_CERTIFICATE = "no-certificate"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    UNTRUSTED = "untrusted"
    AUTHORITY = "authority"
    USAGE = "usage"
    NO_ID = "no-id"
    SEVERAL_IDS = "several-ids"
    BAD_ID = "bad-id"
    WRONG_ID = "wrong-id"


class IdentityError(TlsError):
    """`reason` is for counting. The text says of the peer no more than its id."""

    def __init__(self, reason: Refusal, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class Purpose(StrEnum):
    """What the peer's certificate must be made for; its absence is not taken for consent."""

    SERVER = "serverAuth"
    CLIENT = "clientAuth"


USAGES = {Purpose.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Purpose.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


def spiffe_id(certificate: x509.Certificate) -> SpiffeId:
    uris = _uris(certificate)
    if not uris:
        raise IdentityError(Refusal.NO_ID, "its certificate has no URI among its alternative names, so no SPIFFE id")
    if len(uris) > 1:
        raise IdentityError(Refusal.SEVERAL_IDS, f"its certificate has {len(uris)} URIs among its alternative names; one is allowed")
    try:
        return SpiffeId.parse(uris[0])
    except ValueError as error:
        raise IdentityError(Refusal.BAD_ID, f"the URI in its certificate is no SPIFFE id: {error}") from None


def _uris(certificate: x509.Certificate) -> list[str]:
    names = extension(certificate, x509.SubjectAlternativeName)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def verify(certificate: x509.Certificate, *, peers: Peers, purpose: Purpose, now: datetime) -> SpiffeId:
    """Of a leaf whose chain is verified: is it one, is it made for this, is it time, and is it somebody expected."""
    check_validity(certificate, now)
    check_leaf(certificate, purpose)
    found = spiffe_id(certificate)
    if not peers.allow(found):
        raise IdentityError(Refusal.WRONG_ID, f"it is {found}; expected is {peers}")
    return found


def check_validity(certificate: x509.Certificate, now: datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise IdentityError(Refusal.NOT_YET_VALID, f"its certificate begins on {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}")
    if now >= certificate.not_valid_after_utc:
        raise IdentityError(Refusal.EXPIRED, f"its certificate ended on {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}")


def check_leaf(certificate: x509.Certificate, *purposes: Purpose) -> None:
    """A certificate that may sign others speaks for them, not for itself."""
    constraints = extension(certificate, x509.BasicConstraints)
    usage = extension(certificate, x509.KeyUsage)
    extended = extension(certificate, x509.ExtendedKeyUsage)
    if (constraints and constraints.ca) or (usage and (usage.key_cert_sign or usage.crl_sign)):
        raise IdentityError(Refusal.AUTHORITY, "its certificate is an authority's and not a workload's")
    if usage is None or not usage.digital_signature:
        raise IdentityError(Refusal.USAGE, "its certificate is not made for digital signatures")
    for purpose in purposes:
        if extended is None or USAGES[purpose] not in extended:
            raise IdentityError(Refusal.USAGE, f"its certificate is not made for {purpose}")


def extension(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except UNREADABLE:
        raise IdentityError(Refusal.UNREADABLE, "its certificate has extensions that cannot be read") from None


def parse_peer(data: bytes, *, pem: bool = False) -> x509.Certificate:
    """DER as `ssl` gives it, or PEM as grpcio and ASGI servers do; of several the first."""
    try:
        return x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)
    except ValueError:
        raise IdentityError(Refusal.UNREADABLE, "its certificate cannot be read") from None
