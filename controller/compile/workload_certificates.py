"""Certificates by which parts of Groyne know each other: an authority for a trust domain, and short-lived ones that it signs, each for one
SPIFFE id and one use. Pure functions over `cryptography`, with the clock passed in.

In: ids, an authority's pair, the time. Out: `KeyPair`s that `mtls` takes and `openssl verify -x509_strict` passes; of one made earlier,
whether it still serves, and when it is due. Which authority signs, and which are trusted, is said by `workload_authorities`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dataplane.certificate_parts import CLOCK_SKEW, KeyPair, builder, key_pair, key_usage, own_certificate
from mtls.identity import USAGES, IdentityError, Purpose, check_leaf, spiffe_id

AUTHORITY_LIFETIME = timedelta(days=365)
LIFETIME = timedelta(days=30)
"""Of what is not an authority. Renewed when two thirds of it have passed: ten days are left for whatever keeps the controller from it."""

UNUSABLE = (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension, IdentityError)


def make_authority(trust_domain: str, *, now: datetime) -> KeyPair:
    """A new root. By SPIFFE's rules its own URI is the trust domain's."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Groyne workload CA")])
    made = _builder(subject, subject, key, key, now, now + AUTHORITY_LIFETIME)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    made = made.add_extension(key_usage(sign_certificates=True), critical=True)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return key_pair(made.add_extension(names, critical=False).sign(key, hashes.SHA256()), key)


def make_workload(authority: KeyPair, identity: str, purpose: Purpose, *, dns: Sequence[str] = (), now: datetime) -> KeyPair:
    """`identity` is its one URI. `dns` are for clients that look at names; ours do not. It never outlives the authority."""
    issuer, signer = own_certificate(authority), _key(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    end = min(now + LIFETIME, issuer.not_valid_after_utc)
    made = _builder(x509.Name([]), issuer.subject, key, signer, now, end)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    made = made.add_extension(key_usage(sign_certificates=False), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([USAGES[purpose]]), critical=False)
    # Critical, because there is no other name.
    made = made.add_extension(_names(identity, dns), critical=True)
    return key_pair(made.sign(signer, hashes.SHA256()), key)


def serves(pair: KeyPair, authorities: Iterable[str], identity: str, purpose: Purpose, *, dns: Sequence[str] = (), now: datetime) -> bool:
    """Whether this one, made earlier, is just what would be made, is signed by one of these, and is not due."""
    try:
        certificate, key = own_certificate(pair), _key(pair)
        check_leaf(certificate, purpose)
        same = str(spiffe_id(certificate)) == identity and _own_names(certificate) == _names(identity, dns)
    except UNUSABLE:
        return False
    fits = same and key.public_key() == certificate.public_key() and any(_signed_by(certificate, each) for each in authorities)
    return fits and certificate.not_valid_before_utc <= now < due(pair.cert_pem)


def due(certificate_pem: str) -> datetime:
    """When two thirds of its life have passed."""
    found = x509.load_pem_x509_certificate(certificate_pem.encode())
    return found.not_valid_before_utc + 2 * (found.not_valid_after_utc - found.not_valid_before_utc) / 3


def begins(certificate_pem: str) -> datetime:
    return x509.load_pem_x509_certificate(certificate_pem.encode()).not_valid_before_utc


def is_authority(certificate_pem: str) -> bool:
    """Whether it can be read, and may sign."""
    try:
        found = x509.load_pem_x509_certificate(certificate_pem.encode())
        return found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (*UNUSABLE, x509.ExtensionNotFound):
        return False


def usable_authority(pair: KeyPair, trust_domain: str) -> bool:
    """One of this trust domain, whose key is its own."""
    try:
        certificate, key = own_certificate(pair), _key(pair)
        uris = _own_names(certificate).get_values_for_type(x509.UniformResourceIdentifier)
    except (*UNUSABLE, x509.ExtensionNotFound):
        return False
    return is_authority(pair.cert_pem) and key.public_key() == certificate.public_key() and uris == [f"spiffe://{trust_domain}"]


def _signed_by(certificate: x509.Certificate, authority_pem: str) -> bool:
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_pem.encode()))
    except UNUSABLE:
        return False
    return True


def _key(pair: KeyPair) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pair.key_pem.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not of an elliptic curve")
    return key


def _own_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def _names(identity: str, dns: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity), *map(x509.DNSName, dns)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    now: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    made = builder(subject, issuer, key.public_key(), now - CLOCK_SKEW, end)
    return made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
