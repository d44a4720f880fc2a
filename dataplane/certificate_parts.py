"""What every certificate of ours is made of, whoever signs it: pairs as PEM text, a builder with what all of them have, key usage.

In: names, keys, moments. Out: `cryptography`'s builders, and PEM. Shared by the interception CA with its leafs and by the
certificates by which parts of Groyne know each other (`controller.compile`); knows the lifetimes and names of neither.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

CLOCK_SKEW = timedelta(minutes=5)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """PEM texts. `cert_pem` starts with the pair's own certificate; the ones above it, if any, follow."""

    cert_pem: str
    key_pem: str = field(repr=False)


def builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    """With a serial number that nobody can guess (CA/Browser Forum: 64 bits or more), and its key's identifier."""
    made = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key)
    made = made.serial_number(secrets.randbits(128) or 1)
    made = made.not_valid_before(begin.replace(microsecond=0)).not_valid_after(end.replace(microsecond=0))
    return made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def own_certificate(pair: KeyPair) -> x509.Certificate:
    """The first. Raises ValueError."""
    return x509.load_pem_x509_certificate(pair.cert_pem.encode())


def key_pair(certificate: x509.Certificate, key: Key) -> KeyPair:
    return KeyPair(cert_pem=certificate_text(certificate), key_pem=key_text(key))


def certificate_text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_text(key: Key) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()
