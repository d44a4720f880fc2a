"""What ext-proc's operator may say, and what is refused because it would be open, or would not work."""

import pytest
from pydantic import ValidationError

from extproc.admission import IdentitySource
from extproc.settings import Settings

TLS = {"tls_cert": "/c", "tls_key": "/k", "tls_ca": "/a", "tls_clients": "spiffe://d/ns/*/template/*"}


@pytest.mark.parametrize("listen", ["[::]:9002", "0.0.0.0:9002", "192.0.2.1:9002", "groyne:9002"])
def test_without_tls_nobody_listens_for_other_machines_unless_it_is_said(listen):
    """Whoever reaches such a port is believed, so an operator who forgot the certificates is told."""
    with pytest.raises(ValidationError, match="give certificates, a loopback address, or --plaintext"):
        Settings(listen=listen)
    assert Settings(listen=listen, plaintext=True).listen == listen
    assert Settings(listen=listen, **TLS).tls_clients


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.0.1:9002", "[::1]:9002", "localhost:9002", "unix:/run/s"])
def test_a_socket_and_the_loopback_need_neither(listen):
    assert Settings(listen=listen).plaintext is False


def test_the_defaults_alone_do_not_start():
    """The port is for all, and there is no certificate."""
    with pytest.raises(ValidationError, match="whoever reaches the port is believed"):
        Settings()


def test_plaintext_beside_certificates_is_refused():
    with pytest.raises(ValidationError, match="speaks TLS or it does not"):
        Settings(plaintext=True, **TLS)


def test_a_certificate_counts_before_what_is_said_besides():
    """A sidecar that also sends attributes is still itself."""
    assert Settings(plaintext=True).identity == (IdentitySource.CERTIFICATE, IdentitySource.ATTRIBUTES)


@pytest.mark.parametrize("given", [("cert",), ("key",), ("ca",), ("cert", "key"), ("cert", "ca"), ("key", "ca")])
def test_a_providers_certificate_key_and_authority_are_given_together(given):
    """Half of it would be another trust than the one that was meant."""
    names = ("cert", "key", "ca")
    with pytest.raises(ValidationError, match="give all three, or none"):
        Settings(plaintext=True, **{f"provider_{name}": f"/{name}" for name in given})
    assert Settings(plaintext=True, **{f"provider_{name}": f"/{name}" for name in names}).provider_ca
    assert Settings(plaintext=True).provider_ca is None
