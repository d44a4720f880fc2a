"""The interception CA and the leafs it signs: pure functions over `cryptography`, with the clock passed in.

In: names as `DomainPattern` spells them and a CA as PEM text. Out: `KeyPair`s, or a `Problem` where a user's own CA does
not do. What comes out passes `openssl verify -x509_strict`, which Python 3.13 insists on: key usage and key identifiers
are there, constraints are critical, a leaf lives at most 397 days and never longer than its CA. Where a user's CA is an
intermediate, its PEM text carries the certificates above it, and every leaf is handed out with them.

Whether a leaf is still good is asked of the leaf itself (`leaf_fits`), so that nothing is re-signed without need. This module
knows no files, no Envoy, and none of the hosts' rules.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crds.problem import Problem
from dataplane.certificate_parts import CLOCK_SKEW, Key, KeyPair, builder, certificate_text, key_pair, key_text, key_usage, own_certificate

CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=397)
RENEW_BEFORE = timedelta(days=30)
MIN_RSA_BITS = 2048
# Every handshake carries the whole list, and Java gives up on a certificate message above 32 KB: a hundred names of the longest kind fit.
MAX_NAMES_PER_LEAF = 100
MAX_COMMON_NAME = 64
MAX_DNS_NAME = 253

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)


def make_ca(*, now: datetime, name: str) -> KeyPair:
    """A new root for one template. `name` becomes its common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _common_name(name[:MAX_COMMON_NAME])
    made = builder(subject, subject, key.public_key(), now - CLOCK_SKEW, now + CA_LIFETIME)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(key_usage(sign_certificates=True), critical=True)
    return key_pair(made.sign(key, hashes.SHA256()), key)


def load_ca(cert_pem: str, key_pem: str, *, now: datetime) -> KeyPair | Problem:
    """A user's own CA, or what is wrong with it. An intermediate's `cert_pem` goes on with its issuers, up to the root."""
    try:
        chain = x509.load_pem_x509_certificates(cert_pem.encode())
    except ValueError:
        return _bad_ca("the certificate is not PEM; give the CA's certificate as PEM text")
    key = _load_key(key_pem)
    if isinstance(key, Problem):
        return key
    mistake = _ca_mistake(chain, key, now)
    if mistake:
        return _bad_ca(mistake)
    return KeyPair(cert_pem="".join(map(certificate_text, chain)), key_pem=key_text(key))


def ca_warnings(ca: KeyPair) -> tuple[Problem, ...]:
    """What strict clients (Python 3.13 and later) miss in a user's own CA; other clients accept it."""
    cert = own_certificate(ca)
    missing = []
    if _extension(cert, x509.KeyUsage) is None:
        missing.append("keyUsage")
    if _extension(cert, x509.SubjectKeyIdentifier) is None:
        missing.append("subjectKeyIdentifier")
    if not cert.extensions.get_extension_for_class(x509.BasicConstraints).critical:
        missing.append("a critical basicConstraints")
    if not missing:
        return ()
    message = f"the CA certificate lacks {', '.join(missing)}: Python 3.13 and later refuse it; make it anew with these extensions"
    return (Problem(reason="CaNotStrict", message=message, fatal=False),)


def needs_renewal(pair: KeyPair, now: datetime, before: timedelta = RENEW_BEFORE) -> bool:
    """Whether the certificate ends within `before`, or is not valid now."""
    cert = own_certificate(pair)
    return not cert.not_valid_before_utc <= now < cert.not_valid_after_utc - before


def ends_at(cert_pem: str) -> datetime:
    """When the first certificate of the text ends."""
    return x509.load_pem_x509_certificate(cert_pem.encode()).not_valid_after_utc


def nameable(name: str) -> bool:
    """Whether a certificate can carry this name: `*` it cannot."""
    if _is_ip(name):
        return True
    host = name.removeprefix("*.")
    labels = host.split(".")
    return host.isascii() and "*" not in host and len(name) <= MAX_DNS_NAME and all(0 < len(label) <= 63 for label in labels)


def chunk_names(names: Iterable[str], size: int = MAX_NAMES_PER_LEAF) -> tuple[tuple[str, ...], ...]:
    """The names, sorted and without repeats, in portions that one leaf holds.

    Addresses come first: a client sends no SNI for one, and is shown the first leaf.
    """
    ordered = sorted(set(names), key=lambda name: (not _is_ip(name), name))
    return tuple(tuple(ordered[start : start + size]) for start in range(0, len(ordered), size))


def make_leaf(ca: KeyPair, names: Sequence[str], *, now: datetime) -> KeyPair:
    """A server certificate for `names`, each `nameable`, at most `MAX_NAMES_PER_LEAF`."""
    wanted = _alternative_names(names)
    issuer, issuer_key = own_certificate(ca), _own_key(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _leaf_subject(names)
    begin = max(now - CLOCK_SKEW, issuer.not_valid_before_utc)
    # Both ends count, so 397 days to the second would be a second too many.
    end = min(begin + LEAF_LIFETIME - timedelta(seconds=1), issuer.not_valid_after_utc)
    made = builder(subject, issuer.subject, key.public_key(), begin, end)
    # A certificate without subject must be told apart by its alternative names: then they are critical.
    made = made.add_extension(wanted, critical=not list(subject))
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(key_usage(sign_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    made = made.add_extension(_authority(issuer), critical=False)
    signed = key_pair(made.sign(issuer_key, hashes.SHA256()), key)
    return KeyPair(cert_pem=signed.cert_pem + _intermediates(ca), key_pem=signed.key_pem)


def leaf_fits(leaf: KeyPair, ca: KeyPair, names: Sequence[str], now: datetime) -> bool:
    """Whether this leaf, made earlier, still serves exactly `names` under `ca` and has time left."""
    try:
        cert, key, issuer = own_certificate(leaf), _own_key(leaf), own_certificate(ca)
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    if key.public_key() != cert.public_key() or _extension(cert, x509.SubjectAlternativeName) != _alternative_names(names):
        return False
    # A leaf that ends with its CA cannot be made to last longer.
    margin = RENEW_BEFORE if cert.not_valid_after_utc < issuer.not_valid_after_utc else timedelta()
    return not needs_renewal(leaf, now, margin)


def _own_key(pair: KeyPair) -> Key:
    key = serialization.load_pem_private_key(pair.key_pem.encode(), password=None)
    if not isinstance(key, Key):
        raise TypeError("neither EC nor RSA")
    return key


def _load_key(key_pem: str) -> Key | Problem:
    # Parsers' messages can quote what they read: none of them is passed on.
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    except TypeError:
        return _bad_ca("the private key is encrypted; give it without a pass phrase")
    except (ValueError, UnsupportedAlgorithm):
        return _bad_ca("the private key is not a PEM key that can be read; give it as PKCS#8 PEM")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        return _bad_ca(f"the RSA key has {key.key_size} bits; clients refuse fewer than {MIN_RSA_BITS}")
    if not isinstance(key, Key):
        return _bad_ca("the private key is neither EC nor RSA; make the CA with one of these")
    return key


def _ca_mistake(chain: list[x509.Certificate], key: Key, now: datetime) -> str | None:
    cert = chain[0]
    if cert.public_key() != key.public_key():
        return "the private key does not belong to the (first) certificate; give the pair that was made together"
    try:
        constraints = _extension(cert, x509.BasicConstraints)
        usage = _extension(cert, x509.KeyUsage)
    except (ValueError, x509.DuplicateExtension):
        return "the certificate's extensions cannot be read; make the CA anew"
    if constraints is None or not constraints.ca:
        return "the certificate is not a CA (basicConstraints CA:TRUE is missing)"
    if usage is not None and not usage.key_cert_sign:
        return "the certificate must not sign others (keyUsage lacks keyCertSign)"
    if not cert.not_valid_before_utc <= now < cert.not_valid_after_utc:
        begin, end = cert.not_valid_before_utc, cert.not_valid_after_utc
        return f"the certificate is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, not now; renew it"
    return _chain_mistake(chain)


def _chain_mistake(chain: list[x509.Certificate]) -> str | None:
    """Most clients trust an intermediate only together with its root."""
    for lower, upper in pairwise(chain):
        if not _issued(lower, upper):
            return "the certificates are not in order: each must be signed by the next one"
    if not _issued(chain[-1], chain[-1]):
        return "the chain does not end in a self-signed root; append the issuing certificates"
    return None


def _issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _bad_ca(message: str) -> Problem:
    return Problem(reason="InvalidCa", message=message)


def _intermediates(ca: KeyPair) -> str:
    """The CA's certificates that a client does not have as roots."""
    chain = x509.load_pem_x509_certificates(ca.cert_pem.encode())
    return "".join(certificate_text(cert) for cert in chain if cert.issuer != cert.subject)


def _extension(cert: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    try:
        return cert.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _authority(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    if own is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise TypeError("neither EC nor RSA")
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _alternative_names(names: Iterable[str]) -> x509.SubjectAlternativeName:
    ordered = sorted(set(names))
    if not ordered or len(ordered) > MAX_NAMES_PER_LEAF or not all(map(nameable, ordered)):
        raise ValueError("a leaf takes 1 to 100 names that a certificate can carry")
    return x509.SubjectAlternativeName([_general_name(name) for name in ordered])


def _general_name(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if _is_ip(name) else x509.DNSName(name)


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _leaf_subject(names: Iterable[str]) -> x509.Name:
    """The first name where it fits: a courtesy to people who read certificates; clients read the alternative names."""
    first = min(names)
    return _common_name(first) if len(first) <= MAX_COMMON_NAME else x509.Name([])


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
