"""Whose CA signs: the one that the policy names, never silently another."""

import datetime as dt

import pytest

from dataplane.certificates import make_ca
from groyne.own_ca import own_ca, trust_of
from unit_tests.groyne.written import read, secret, template
from unit_tests.policy.profiles import manifest

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NAMED = {"groyne.dev/ca-secret": "company"}


@pytest.fixture(scope="module")
def company():
    return make_ca(now=NOW, name="Company CA")


def ca_secret(pair, name="company", **more):
    return secret(name, **{"tls.crt": pair.cert_pem, "tls.key": pair.key_pem}, **more)


def test_without_a_name_each_run_has_its_own(tmp_path):
    found = read(tmp_path, manifest())
    first, second = trust_of(found, NOW), trust_of(found, NOW)
    assert own_ca(found) is None
    assert first.ca.key_pem != second.ca.key_pem


def test_a_profile_names_one(tmp_path, company):
    found = read(tmp_path, manifest(annotations=NAMED), ca_secret(company))
    assert own_ca(found) == ("default", "company")
    assert trust_of(found, NOW).ca.cert_pem == company.cert_pem


def test_a_template_names_one(tmp_path, company):
    found = read(tmp_path, template(namespace="team", annotations=NAMED), ca_secret(company, namespace="team"), template="team/agents")
    assert own_ca(found) == ("team", "company")
    assert trust_of(found, NOW).ca.cert_pem == company.cert_pem


def test_the_first_profile_in_order_decides(tmp_path):
    orders = {"a": 2000, "b": 1000}
    profiles = (manifest(name=name, priority=priority, annotations={"groyne.dev/ca-secret": name}) for name, priority in orders.items())
    assert own_ca(read(tmp_path, *profiles)) == ("default", "b")


def test_a_profile_comes_before_the_template(tmp_path):
    found = read(tmp_path, manifest(annotations=NAMED), template(annotations={"groyne.dev/ca-secret": "other"}), template="agents")
    assert own_ca(found) == ("default", "company")


def test_a_profile_that_is_not_selected_names_nothing(tmp_path):
    assert own_ca(read(tmp_path, manifest(annotations=NAMED, selector={"matchLabels": {"app": "x"}}))) is None


def test_its_key_need_not_stand_in_a_manifest(tmp_path, company):
    (tmp_path / "ca.crt").write_text(company.cert_pem)
    (tmp_path / "ca.key").write_text(company.key_pem)
    sources = {"groyne.dev/value-from.tls.crt": "file:ca.crt", "groyne.dev/value-from.tls.key": "file:ca.key"}
    found = read(tmp_path, manifest(annotations=NAMED), secret("company", annotations=sources))
    assert trust_of(found, NOW).ca.cert_pem == company.cert_pem
    assert tmp_path / "ca.key" in found.credentials.files


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (None, "there is no Secret default/company"),
        ({}, "no key tls.crt"),
        ({"tls.crt": "x"}, "no key tls.key"),
        ({"tls.crt": "x", "tls.key": "y"}, "PEM"),
    ],
)
def test_one_that_cannot_be_used_stops_the_run_with_its_name(tmp_path, values, words):
    found = read(tmp_path, manifest(annotations=NAMED), *([] if values is None else [secret("company", **values)]))
    with pytest.raises(ValueError, match=f"^the CA Secret default/company: .*{words}"):
        trust_of(found, NOW)


def test_one_that_has_expired_is_refused(tmp_path, company):
    found = read(tmp_path, manifest(annotations=NAMED), ca_secret(company))
    with pytest.raises(ValueError, match="the CA Secret default/company"):
        trust_of(found, NOW + dt.timedelta(days=36500))


def test_the_key_shows_up_in_no_message(tmp_path, company):
    broken = {"tls.crt": company.cert_pem, "tls.key": company.key_pem[:-60]}
    found = read(tmp_path, manifest(annotations=NAMED), secret("company", **broken))
    with pytest.raises(ValueError, match="default/company") as caught:
        trust_of(found, NOW)
    assert company.key_pem.splitlines()[1] not in str(caught.value)
