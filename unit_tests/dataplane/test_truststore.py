"""Bundle and Java trust store hold the public roots, extra roots and the CA, and nothing else."""

import shutil
import ssl
import subprocess
import warnings
from datetime import UTC, datetime

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from dataplane.certificates import make_ca
from dataplane.truststore import bundle, java_truststore

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CA = make_ca(now=NOW, name="groyne test CA")
EXTRA = make_ca(now=NOW, name="corporate root")


def public_roots() -> int:
    return certifi.contents().count("BEGIN CERTIFICATE")


def test_the_bundle_loads_and_holds_everything():
    """OpenSSL reads the bundle: public roots, the extra root and the CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context.load_verify_locations(cadata=bundle(CA.cert_pem, EXTRA.cert_pem))
    assert len(context.get_ca_certs()) == public_roots() + 2


def test_a_missing_final_newline_glues_nothing_together():
    """An extra file that ends without a newline does not swallow the next certificate."""
    text = bundle(CA.cert_pem, EXTRA.cert_pem.rstrip("\n"))
    assert "-----END CERTIFICATE----------BEGIN" not in text
    assert text.endswith(CA.cert_pem)


def test_a_private_key_beside_a_certificate_stays_out():
    """A file with key and certificate gives its certificate only: the agent reads the bundle."""
    text = bundle(CA.cert_pem, EXTRA.key_pem + EXTRA.cert_pem)
    assert "PRIVATE KEY" not in text
    assert EXTRA.cert_pem in text


def test_the_java_store_holds_the_roots_and_the_ca_once():
    """The PKCS#12 store has each root once, also when an extra file repeats the CA."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = pkcs12.load_pkcs12(java_truststore(CA.cert_pem, CA.cert_pem, EXTRA.cert_pem), b"changeit")
    certs = [entry.certificate for entry in loaded.additional_certs]
    assert len(certs) == public_roots() + 2
    assert x509.load_pem_x509_certificate(CA.cert_pem.encode()) in certs


def test_an_unreadable_block_does_not_take_the_others_away():
    """A broken certificate in an extra file is left out of the Java store; the rest is there."""
    broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = pkcs12.load_pkcs12(java_truststore(CA.cert_pem, broken), b"changeit")
    assert len(loaded.additional_certs) == public_roots() + 1


@pytest.mark.skipif(shutil.which("keytool") is None, reason="no Java here")
def test_keytool_lists_every_entry_as_trusted(tmp_path):
    """Java itself reads the store and trusts every entry."""
    store = tmp_path / "trust.p12"
    store.write_bytes(java_truststore(CA.cert_pem))
    listed = subprocess.run(
        ["keytool", "-list", "-keystore", store, "-storepass", "changeit"], capture_output=True, text=True, check=True
    ).stdout
    assert listed.count("trustedCertEntry") == public_roots() + 1
