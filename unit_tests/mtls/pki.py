"""Authorities and certificates for the tests, made as SPIRE, cert-manager and the careless make them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mtls.files import TlsFiles

BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
HOUR = timedelta(hours=1)
SERVER, CLIENT = "spiffe://prod.example/ns/groyne-system/sa/ext-proc", "spiffe://prod.example/ns/team-a/sa/agent"


def wall() -> datetime:
    """OpenSSL reads this clock, whatever we would have it read."""
    return datetime.now(UTC)  # noqa: TID251


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        return b"".join(pem(each) for each in (self.certificate, *self.above))

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=serialization.NoEncryption()
        )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def authority(name: str = "root", *, above: Made | None = None, ends: timedelta = 24 * HOUR, path_length: int | None = None) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, key, above, wall() - HOUR, wall() + ends)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    return _signed(builder, key, above)


def leaf(
    above: Made,
    *ids: str,
    dns: Sequence[str] = ("localhost",),
    usages: Sequence[x509.ObjectIdentifier] = BOTH,
    begins: timedelta = -HOUR,
    ends: timedelta = HOUR,
    signs: bool = False,
    ca: bool = False,
) -> Made:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder("leaf", key, above, wall() + begins, wall() + ends)
    names = [*map(x509.UniformResourceIdentifier, ids), *map(x509.DNSName, dns)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return _signed(builder.add_extension(_usage(signs=signs, digital=True), critical=True), key, above)


def _builder(name: str, key: ec.EllipticCurvePrivateKey, above: Made | None, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(above.certificate.subject if above else subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(begins).not_valid_after(ends)
    signer = above.key if above else key
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)


def _usage(*, signs: bool, digital: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey, above: Made | None) -> Made:
    chain = (above.certificate, *above.above) if above else ()
    certificate = builder.sign(above.key if above else key, hashes.SHA256())
    # A root is in the trust bundle and in no chain.
    return Made(certificate=certificate, key=key, above=tuple(each for each in chain if each.issuer != each.subject))


def files_in(directory: Path, *, edge: str = "the other side") -> TlsFiles:
    return TlsFiles(edge=edge, certificate=directory / "tls.crt", key=directory / "tls.key", authorities=directory / "ca.crt")


def write(directory: Path, made: Made, *authorities: Made, edge: str = "the other side") -> TlsFiles:
    files = files_in(directory, edge=edge)
    directory.mkdir(parents=True, exist_ok=True)
    files.certificate.write_bytes(made.certificate_pem)
    files.key.write_bytes(made.key_pem)
    files.authorities.write_bytes(b"".join(pem(each.certificate) for each in authorities))
    return files


def swap(volume: Path, made: Made, *authorities: Made, edge: str = "the other side") -> TlsFiles:
    """As the kubelet does: a new directory beside, `..data` led there by one rename, and only then the old directory removed."""
    volume.mkdir(parents=True, exist_ok=True)
    link = volume / "..data"
    old = link.resolve() if link.is_symlink() else None
    new = volume / f"..{len(list(volume.iterdir()))}_{made.certificate.serial_number % 1_000_000}"
    write(new, made, *authorities)
    beside = volume / "..data_tmp"
    beside.symlink_to(new.name)
    beside.rename(link)
    for path in (each for each in files_in(new).paths if not (volume / each.name).is_symlink()):
        (volume / path.name).symlink_to(f"..data/{path.name}")
    if old:
        for path in old.iterdir():
            path.unlink()
        old.rmdir()
    return files_in(volume, edge=edge)
