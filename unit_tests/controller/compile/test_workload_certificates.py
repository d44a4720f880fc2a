"""What the controller signs for ext-proc and its callers passes the checks of both sides, ours and OpenSSL's, and is made anew in time."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compile.workload_certificates import AUTHORITY_LIFETIME, LIFETIME, due, make_authority, make_workload, serves
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import ends_at, make_leaf
from mtls.identity import IdentityError, Purpose, Refusal, parse_peer, verify
from mtls.spiffe import Peers

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOMAIN = "cluster.local"
CLIENT = f"spiffe://{DOMAIN}/ns/team-a/template/python"
SERVER = f"spiffe://{DOMAIN}/ns/groyne-system/sa/groyne-ext-proc"
NAMES = ("groyne-ext-proc.groyne-system.svc",)
ROOT = make_authority(DOMAIN, now=NOW)
PYTHON = make_workload(ROOT, CLIENT, Purpose.CLIENT, now=NOW)
EXT_PROC = make_workload(ROOT, SERVER, Purpose.SERVER, dns=NAMES, now=NOW)


def certificate(pair: KeyPair) -> x509.Certificate:
    return parse_peer(pair.cert_pem.encode(), pem=True)


def still(pair: KeyPair, now: datetime = NOW, *, root: KeyPair = ROOT, identity: str = CLIENT) -> bool:
    return serves(pair, [root.cert_pem], identity, Purpose.CLIENT, now=now)


def test_each_side_takes_the_other_for_who_it_is():
    """As `mtls` judges every peer: one URI, an id that is expected, made for just this use, in its time."""
    sidecars = Peers.of(f"spiffe://{DOMAIN}/ns/*/template/*")
    assert str(verify(certificate(PYTHON), peers=sidecars, purpose=Purpose.CLIENT, now=NOW)) == CLIENT
    assert str(verify(certificate(EXT_PROC), peers=Peers.of(SERVER), purpose=Purpose.SERVER, now=NOW)) == SERVER


def test_a_template_cannot_pass_for_ext_proc_nor_ext_proc_for_a_template():
    for pair, purpose in ((PYTHON, Purpose.SERVER), (EXT_PROC, Purpose.CLIENT)):
        with pytest.raises(IdentityError) as refused:
            verify(certificate(pair), peers=Peers.of(CLIENT, SERVER), purpose=purpose, now=NOW)
        assert refused.value.reason is Refusal.USAGE


@pytest.mark.parametrize(("pair", "purpose"), [(PYTHON, "sslclient"), (EXT_PROC, "sslserver")], ids=["client", "server"])
def test_openssl_takes_them_at_its_strictest(tmp_path, pair: KeyPair, purpose: str):
    for name, text in {"root": ROOT.cert_pem, "leaf": pair.cert_pem}.items():
        (tmp_path / name).write_text(text)
    at = str(int(NOW.timestamp()) + 60)
    command = ["openssl", "verify", "-x509_strict", "-attime", at, "-purpose", purpose, "-CAfile", tmp_path / "root", tmp_path / "leaf"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_keys_are_of_p256_and_show_up_in_no_repr():
    for pair in (ROOT, PYTHON, EXT_PROC):
        key = certificate(pair).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        assert "PRIVATE" not in repr(pair)


def test_the_authority_signs_nothing_that_signs():
    constraints = certificate(ROOT).extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)


def test_the_servers_names_are_there_for_clients_that_look_at_them():
    names = certificate(EXT_PROC).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES


def test_it_serves_until_two_thirds_of_its_life_have_passed():
    assert still(PYTHON, NOW + LIFETIME * 2 / 3 - timedelta(hours=1))
    assert not still(PYTHON, NOW + LIFETIME * 2 / 3)
    assert ends_at(PYTHON.cert_pem) - due(PYTHON.cert_pem) > timedelta(days=9)


def test_it_never_outlives_its_authority():
    late = NOW + AUTHORITY_LIFETIME - timedelta(days=1)
    assert ends_at(make_workload(ROOT, CLIENT, Purpose.CLIENT, now=late).cert_pem) == ends_at(ROOT.cert_pem)


def test_another_ones_does_not_serve():
    """Another template's, another use's, another authority's, one with names that are not wanted, a key of another."""
    other = make_workload(ROOT, f"{CLIENT}-two", Purpose.CLIENT, now=NOW)
    named = make_workload(ROOT, CLIENT, Purpose.CLIENT, dns=NAMES, now=NOW)
    both = KeyPair(cert_pem=PYTHON.cert_pem, key_pem=other.key_pem)
    for pair in (other, named, both, make_workload(ROOT, CLIENT, Purpose.SERVER, now=NOW), make_leaf(ROOT, ["a.test"], now=NOW)):
        assert not still(pair)
    assert not still(PYTHON, root=make_authority(DOMAIN, now=NOW))


@settings(max_examples=60)
@given(st.text(max_size=40), st.integers(0, len(PYTHON.cert_pem) - 30), st.integers(0, len(PYTHON.key_pem) - 30))
def test_broken_texts_never_serve_and_never_raise(text: str, certificate_cut: int, key_cut: int):
    for pair in (
        KeyPair(cert_pem=text, key_pem=PYTHON.key_pem),
        KeyPair(cert_pem=PYTHON.cert_pem, key_pem=text),
        KeyPair(cert_pem=PYTHON.cert_pem[:certificate_cut], key_pem=PYTHON.key_pem),
        KeyPair(cert_pem=PYTHON.cert_pem, key_pem=PYTHON.key_pem[:key_cut]),
    ):
        assert not still(pair)
