"""Certificates hold before strict verifiers (openssl, Python's ssl), and mistakes in a user's own CA are Problems."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from crds.problem import Problem
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import (
    MAX_NAMES_PER_LEAF,
    ca_warnings,
    chunk_names,
    leaf_fits,
    load_ca,
    make_ca,
    make_leaf,
    nameable,
    needs_renewal,
)

# Verifiers compare with the machine's clock: what they see is made around it.
NOW = datetime.now(UTC)  # noqa: TID251
CA = make_ca(now=NOW, name="groyne test CA")
NAMES = ("api.example.com", "*.wild.example.com", "192.0.2.7", "2001:db8::7")
LEAF = make_leaf(CA, NAMES, now=NOW)


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.cert_pem.encode())


def own_ca(*, key=None, ca=True, usage=None, begin=None, end=None, strict=True, issuer=None) -> KeyPair:
    """A CA as a user might make it; `issuer` makes it an intermediate."""
    key = key or ec.generate_private_key(ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "intermediate" if issuer else "own")])
    builder = x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=certificate(issuer).subject if issuer else subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=begin or NOW - timedelta(days=1),
        not_valid_after=end or NOW + timedelta(days=365),
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if strict:
        usage = usage or x509.KeyUsage(*[False] * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    signer = serialization.load_pem_private_key(issuer.key_pem.encode(), None) if issuer else key
    if issuer:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    cert = builder.sign(signer, algorithm).public_bytes(serialization.Encoding.PEM).decode()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return KeyPair(cert_pem=cert + (issuer.cert_pem if issuer else ""), key_pem=pem.decode())


def openssl_verify(ca: KeyPair, leaf: KeyPair, tmp_path) -> str:
    (tmp_path / "ca.pem").write_text(ca.cert_pem)
    (tmp_path / "leaf.pem").write_text(leaf.cert_pem)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem", "-untrusted", "leaf.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def handshake(ca: KeyPair, leaf: KeyPair, host: str, tmp_path) -> None:
    """A TLS handshake in memory between a strict client and a server with `leaf`. Raises where the client refuses."""
    (tmp_path / "server.pem").write_text(leaf.cert_pem + leaf.key_pem)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(tmp_path / "server.pem")
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.load_verify_locations(cadata=ca.cert_pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    sides = [client, server]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)
        if not sides:
            return
    raise AssertionError("the handshake did not end")


def test_openssl_strict_accepts_ca_and_leaf(tmp_path):
    """`openssl verify -x509_strict` passes for a made CA and its leaf."""
    assert openssl_verify(CA, LEAF, tmp_path) == "leaf.pem: OK"


@pytest.mark.parametrize("host", ["api.example.com", "a.wild.example.com", "192.0.2.7", "2001:db8::7"])
def test_a_strict_client_accepts_each_kind_of_name(host, tmp_path):
    """Exact, wildcard, IPv4 and IPv6 names pass Python's strict verification."""
    handshake(CA, LEAF, host, tmp_path)


@pytest.mark.parametrize("host", ["other.example.com", "wild.example.com", "192.0.2.8", "2001:db8::8"])
def test_a_strict_client_refuses_other_names(host, tmp_path):
    """A host that the leaf does not name is refused, so the acceptance above means something."""
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(CA, LEAF, host, tmp_path)


def test_a_name_too_long_for_a_common_name_is_served(tmp_path):
    """Without a subject the alternative names are critical, and strict verifiers agree."""
    host = ".".join(["a" * 40] * 3) + ".example.com"
    leaf = make_leaf(CA, [host], now=NOW)
    assert not list(certificate(leaf).subject)
    assert certificate(leaf).extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert openssl_verify(CA, leaf, tmp_path) == "leaf.pem: OK"
    handshake(CA, leaf, host, tmp_path)


def test_a_full_leaf_of_longest_names_stays_below_what_java_reads():
    """A hundred names of 253 characters make less than Java's 32 KB limit."""
    label = "b" * 63
    names = [f"{index:03}{'c' * 58}.{label}.{label}.{label}"[:253] for index in range(MAX_NAMES_PER_LEAF)]
    leaf = make_leaf(CA, names, now=NOW)
    assert len(certificate(leaf).public_bytes(serialization.Encoding.DER)) < 32_000


def test_ca_has_the_documented_form():
    """P-256, pathlen 0, cert and CRL signing only, ten years, a positive serial of at most 128 bits."""
    cert = certificate(CA)
    assert isinstance(cert.public_key(), ec.EllipticCurvePublicKey)
    assert cert.public_key().curve.name == "secp256r1"
    constraints = cert.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert 0 < cert.serial_number < 2**128
    assert cert.not_valid_before_utc == (NOW - timedelta(minutes=5)).replace(microsecond=0)
    assert cert.not_valid_after_utc == (NOW + timedelta(days=3650)).replace(microsecond=0)


def test_leaf_has_the_documented_form():
    """Names sorted and once each, server use only, at most 397 days."""
    cert = certificate(make_leaf(CA, ["b.test", "a.test", "b.test", "10.0.0.1"], now=NOW))
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["10.0.0.1", "a.test", "b.test"]
    assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.digital_signature, usage.value.key_cert_sign) == (True, False)
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert cert.not_valid_after_utc - cert.not_valid_before_utc + timedelta(seconds=1) <= timedelta(days=397)


def test_a_leaf_never_outlives_its_ca():
    """A CA with ten days left gives a leaf with ten days."""
    ca = own_ca(end=NOW + timedelta(days=10))
    assert certificate(make_leaf(ca, ["a.test"], now=NOW)).not_valid_after_utc == certificate(ca).not_valid_after_utc


@pytest.mark.parametrize("names", [[], ["*"], ["a b.*"], ["ü.test"], [f"h{i}.test" for i in range(MAX_NAMES_PER_LEAF + 1)]])
def test_names_that_no_leaf_carries_are_a_bug_of_the_caller(names):
    """What is not `nameable`, and more than fits, raises."""
    with pytest.raises(ValueError, match="names"):
        make_leaf(CA, names, now=NOW)


@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("*", False),
        ("*.*.test", False),
        ("a..b", False),
        ("", False),
        ("x" * 64 + ".test", False),
        ("ü.test", False),
        (".".join(["y" * 62] * 5), False),
        ("*.a.test", True),
        ("a.test", True),
        ("1.2.3.4", True),
        ("::1", True),
        ("_dmarc.a.test", True),
    ],
)
def test_nameable(name, possible):
    """Certificates carry hosts, one leading `*.` and addresses."""
    assert nameable(name) is possible


def test_chunks_are_sorted_complete_and_bounded():
    """A thousand names go into portions that each make a leaf, in the same order however they came."""
    names = [f"h{index}.test" for index in range(1000)]
    chunks = chunk_names([*names, *names])
    assert [name for chunk in chunks for name in chunk] == sorted(names)
    assert {len(chunk) for chunk in chunks} == {MAX_NAMES_PER_LEAF}
    assert chunks == chunk_names(reversed(names))
    assert chunk_names([]) == ()


def test_addresses_stand_in_the_first_leaf():
    """A client sends no SNI for an address, and whoever sends none is shown the first one."""
    chunks = chunk_names(["198.51.100.7", *(f"*.h{index}.test" for index in range(MAX_NAMES_PER_LEAF)), "2001:db8::1"])
    assert chunks[0][:3] == ("198.51.100.7", "2001:db8::1", "*.h0.test")


def test_a_leaf_is_kept_while_nothing_changes():
    """The same CA and names, in any order, fit the leaf already made, until its renewal is due."""
    assert leaf_fits(LEAF, CA, tuple(reversed(NAMES)), NOW)
    assert leaf_fits(LEAF, CA, NAMES, NOW + timedelta(days=366))
    assert not leaf_fits(LEAF, CA, NAMES, NOW + timedelta(days=368))


@pytest.mark.parametrize(
    ("leaf", "ca", "names"),
    [
        (LEAF, CA, NAMES[1:]),
        (LEAF, CA, (*NAMES, "more.test")),
        (LEAF, make_ca(now=NOW, name="groyne test CA"), NAMES),
        (LEAF, make_ca(now=NOW, name="another"), NAMES),
        (KeyPair(cert_pem=LEAF.cert_pem, key_pem=make_leaf(CA, NAMES, now=NOW).key_pem), CA, NAMES),
        (KeyPair(cert_pem="rubbish", key_pem=LEAF.key_pem), CA, NAMES),
        (KeyPair(cert_pem=LEAF.cert_pem, key_pem="rubbish"), CA, NAMES),
    ],
)
def test_a_leaf_does_not_fit_another_ca_other_names_or_a_strange_key(leaf, ca, names):
    """Names removed or added, a re-made CA, a wrong key or damaged text: a new leaf is needed."""
    assert not leaf_fits(leaf, ca, names, NOW)


def test_a_leaf_that_ends_with_its_ca_is_not_signed_over_and_over():
    """Where the CA itself is in its last month, a leaf as long as the CA still fits."""
    ca = own_ca(end=NOW + timedelta(days=10))
    leaf = make_leaf(ca, ["a.test"], now=NOW)
    assert leaf_fits(leaf, ca, ["a.test"], NOW + timedelta(days=5))
    assert not leaf_fits(leaf, ca, ["a.test"], NOW + timedelta(days=11))


def test_renewal_is_due_a_month_before_the_end():
    """Ten years minus thirty days is the moment; a certificate from the future is renewed too."""
    assert not needs_renewal(CA, NOW + timedelta(days=3619))
    assert needs_renewal(CA, NOW + timedelta(days=3621))
    assert needs_renewal(CA, NOW - timedelta(days=1))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP521R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-256", "P-521", "RSA"],
)
def test_ones_own_ca_signs_leafs_that_verify(key, tmp_path):
    """EC and RSA CAs are taken, and their leafs pass the strict check."""
    given = own_ca(key=key)
    ca = load_ca(given.cert_pem, given.key_pem, now=NOW)
    assert isinstance(ca, KeyPair)
    assert ca_warnings(ca) == ()
    assert openssl_verify(ca, make_leaf(ca, NAMES, now=NOW), tmp_path) == "leaf.pem: OK"


def test_an_intermediate_is_handed_out_with_the_leaf(tmp_path):
    """A leaf of an intermediate carries it, so that a client that knows only the root verifies."""
    root = own_ca()
    given = own_ca(issuer=root)
    ca = load_ca(given.cert_pem, given.key_pem, now=NOW)
    assert isinstance(ca, KeyPair)
    leaf = make_leaf(ca, ["api.example.com"], now=NOW)
    assert leaf.cert_pem.count("BEGIN CERTIFICATE") == 2
    handshake(root, leaf, "api.example.com", tmp_path)
    assert leaf_fits(leaf, ca, ["api.example.com"], NOW)


def broken_cas() -> dict[str, tuple[KeyPair, str]]:
    good, other, root = own_ca(), own_ca(), own_ca()
    no_sign = x509.KeyUsage(True, *[False] * 8)
    encrypted = serialization.load_pem_private_key(good.key_pem.encode(), None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pass")
    )
    lone = own_ca(issuer=root)
    return {
        "mismatched": (KeyPair(cert_pem=good.cert_pem, key_pem=other.key_pem), "does not belong"),
        "no certificate": (KeyPair(cert_pem="hello", key_pem=good.key_pem), "not PEM"),
        "no key": (KeyPair(cert_pem=good.cert_pem, key_pem="hunter2"), "private key"),
        "encrypted": (KeyPair(cert_pem=good.cert_pem, key_pem=encrypted.decode()), "encrypted"),
        "not a CA": (own_ca(ca=False), "not a CA"),
        "must not sign": (own_ca(usage=no_sign), "keyCertSign"),
        "expired": (own_ca(begin=NOW - timedelta(days=9), end=NOW - timedelta(days=1)), "not now"),
        "not yet": (own_ca(begin=NOW + timedelta(days=1)), "not now"),
        "short RSA": (own_ca(key=rsa.generate_private_key(65537, 1024)), "1024 bits"),  # noqa: S505
        "Ed25519": (own_ca(key=ed25519.Ed25519PrivateKey.generate()), "neither EC nor RSA"),
        "no root": (KeyPair(cert_pem=lone.cert_pem.removesuffix(root.cert_pem), key_pem=lone.key_pem), "self-signed root"),
        "wrong order": (KeyPair(cert_pem=good.cert_pem + other.cert_pem, key_pem=good.key_pem), "not in order"),
    }


@pytest.mark.parametrize(("given", "said"), broken_cas().values(), ids=broken_cas())
def test_a_broken_own_ca_is_a_problem_that_says_why(given, said):
    """Each mistake in a user's CA is data, names the mistake, and quotes nothing of the key."""
    problem = load_ca(given.cert_pem, given.key_pem, now=NOW)
    assert isinstance(problem, Problem)
    assert said in problem.message
    assert "hunter2" not in problem.message


def test_a_ca_that_strict_clients_refuse_is_warned_of():
    """What `openssl req -x509` makes by default works, with a warning that names what is missing."""
    given = own_ca(strict=False)
    ca = load_ca(given.cert_pem, given.key_pem, now=NOW)
    assert isinstance(ca, KeyPair)
    (warning,) = ca_warnings(ca)
    assert not warning.fatal
    assert "keyUsage" in warning.message
    assert make_leaf(ca, ["a.test"], now=NOW)


def test_a_key_is_never_printed():
    """The representation of a pair shows no private key."""
    assert "PRIVATE" not in repr(CA)
    assert "PRIVATE" not in str(LEAF)
