"""What makes intercepted TLS trusted: leafs that are kept as long as they fit, and bundles that never hand our CA to Envoy."""

import datetime as dt

import pytest

from dataplane.certificates import make_ca
from groyne.trust import Trust, bundles, certificates

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
GARBAGE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def cas():
    return {name: make_ca(now=NOW, name=name) for name in ("ours", "company", "client")}


def body(pair):
    return pair.cert_pem.strip()


def test_a_leaf_is_kept_while_it_fits():
    trust = Trust.fresh(NOW)
    first = trust.leafs(["a.test", "b.test"], NOW)
    assert trust.leafs(["a.test", "b.test"], NOW) == first


def test_other_names_get_another_leaf():
    trust = Trust.fresh(NOW)
    assert trust.leafs(["a.test"], NOW) != trust.leafs(["b.test"], NOW)


def test_a_leaf_that_is_about_to_end_is_made_anew():
    trust = Trust.fresh(NOW)
    assert trust.leafs(["a.test"], NOW) != trust.leafs(["a.test"], NOW + dt.timedelta(days=3650))


def test_many_names_are_several_leafs():
    assert len(Trust.fresh(NOW).leafs([f"h{number}.test" for number in range(250)], NOW)) > 1


def test_no_key_is_printed():
    trust = Trust.fresh(NOW)
    assert "PRIVATE" not in repr(trust) + repr(trust.leafs(["a.test"], NOW))


def test_clients_trust_our_ca_and_envoy_does_not(cas):
    made = bundles(cas["ours"], client_files={}, upstream_ca=None)
    assert body(cas["ours"]) in made.clients
    assert body(cas["ours"]) not in made.upstream
    assert made.upstream.count("BEGIN CERTIFICATE") > 50
    assert made.ca == cas["ours"].cert_pem


def test_what_the_user_trusts_is_trusted_on_both_sides(cas, tmp_path):
    (tmp_path / "company").write_text(cas["company"].cert_pem)
    (tmp_path / "client").write_text("# caf\xe9\n" + cas["client"].cert_pem, encoding="latin-1")
    files = {"SSL_CERT_FILE": tmp_path / "client", "PIP_CERT": tmp_path / "client"}
    made = bundles(cas["ours"], client_files=files, upstream_ca=tmp_path / "company")
    for name in ("company", "client"):
        assert made.clients.count(body(cas[name])) == 1
        assert body(cas[name]) in made.upstream


def test_private_keys_in_a_users_file_go_nowhere(cas, tmp_path):
    (tmp_path / "both").write_text(cas["client"].key_pem + cas["client"].cert_pem)
    made = bundles(cas["ours"], client_files={"SSL_CERT_FILE": tmp_path / "both"}, upstream_ca=tmp_path / "both")
    assert "PRIVATE" not in made.clients + made.upstream


def test_one_odd_root_takes_no_other_away_and_never_reaches_envoy(cas, tmp_path):
    (tmp_path / "mixed").write_text(GARBAGE + cas["client"].cert_pem)
    made = bundles(cas["ours"], client_files={"SSL_CERT_FILE": tmp_path / "mixed"}, upstream_ca=None)
    assert "bm90IGEg" in made.clients
    assert "bm90IGEg" not in made.upstream
    assert body(cas["client"]) in made.upstream


@pytest.mark.parametrize("content", ["", "words", GARBAGE, "\0\1\2"])
def test_an_upstream_ca_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "ca").write_text(content)
    with pytest.raises(ValueError, match=r"--upstream-ca names .*/ca, which holds no certificate in PEM form"):
        certificates(tmp_path / "ca", "--upstream-ca", strict=True)


def test_one_broken_certificate_among_good_ones_is_refused_where_it_was_asked_for(cas, tmp_path):
    (tmp_path / "ca").write_text(cas["company"].cert_pem + GARBAGE)
    with pytest.raises(ValueError, match="cannot be read"):
        certificates(tmp_path / "ca", "--upstream-ca", strict=True)


def test_a_file_that_cannot_be_read_is_named_with_who_named_it(cas, tmp_path):
    with pytest.raises(ValueError, match=r"^SSL_CERT_FILE names a file that cannot be read: .*/missing: No such file or directory$"):
        bundles(cas["ours"], client_files={"SSL_CERT_FILE": tmp_path / "missing"}, upstream_ca=None)
