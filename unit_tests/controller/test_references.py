"""References become values, or are said to be without one; what cannot be read is neither."""

from datetime import UTC, datetime

import pytest

from controller.references import Resolver, ca_named
from crds import parse
from daemon.profile_book import ProfileBook, ref_of
from daemon.secret_reader import Access, Found, NotReadableYet
from dataplane.certificates import make_ca
from kube.errors import Unavailable
from kube.objects import Key
from policy.program import Identity, SecretKeyRef
from unit_tests.controller.raw_objects import global_profile, injecting, profile, template
from unit_tests.kube.virtual import run

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AGENT = Identity(namespace="team-a", labels=(("app", "agent"),))
KEY, THERE = Key("team-a", "key"), Key("team-b", "key")
LIMITS, KEYS = ref_of(profile()), ref_of(injecting())


class Reader:
    """What each Secret holds; an exception is raised instead."""

    def __init__(self, secrets=None, **access: Access) -> None:
        self.secrets, self.closed = secrets or {}, access
        self.reads: list[Key] = []

    def access(self, namespace: str) -> Access:
        return self.closed.get(namespace.replace("-", "_"), Access.OPEN)

    async def read(self, key: Key):
        self.reads.append(key)
        found = self.secrets.get(key)
        if isinstance(found, Exception):
            raise found
        return found


def found(version: str = "7", notes=None, **values: str) -> Found:
    return Found(version=version, annotations=notes or {}, values={name: text.encode() for name, text in values.items()})


def resolved(reader: Reader, *raws, ca: Key | None = None):
    book = ProfileBook()
    for raw in raws:
        book.put(raw)
    return run(Resolver(reader).resolve(book.select(AGENT), ca, NOW))


def reasons(result, ref=KEYS):
    return [(problem.reason, problem.field, problem.fatal) for problem in result.unresolved.get(ref, ())]


FIELD = "spec.rules[0].actions.tokenTransformation.credentialRef"


def test_a_value_that_is_there_is_given_with_the_version_it_had():
    result = resolved(Reader({KEY: found(apiKey="v")}), injecting())
    assert result.credentials == {SecretKeyRef(namespace="team-a", name="key", key="apiKey"): "v"}
    assert (result.secrets, result.unresolved) == ({KEY: "7"}, {})


@pytest.mark.parametrize(
    ("secret", "reason"),
    [(None, "SecretNotFound"), (found(other="v"), "SecretKeyNotFound"), (found(apiKey=""), "InvalidCredential")],
    ids=["no Secret", "no key", "empty"],
)
def test_a_reference_without_a_value_is_said_at_its_rule_and_stops_nothing(secret, reason):
    result = resolved(Reader({KEY: secret}), injecting(), profile())
    assert result.credentials == {}
    assert result.failure is None
    assert set(result.unresolved) == {KEYS}
    [(said, field, fatal)] = reasons(result)
    assert (said, field, fatal) == (reason, FIELD, False)


def test_a_secret_that_is_not_there_is_remembered_so_that_its_coming_is_noticed():
    assert resolved(Reader(), injecting()).secrets == {KEY: ""}


def test_a_secret_of_another_namespace_needs_its_owners_grant():
    raw = injecting(owner="team-b")
    for notes, given in (({}, False), ({"groyne.dev/grant-to": "team-c"}, False), ({"groyne.dev/grant-to": "team-a"}, True)):
        result = resolved(Reader({THERE: found(apiKey="v", notes=notes)}), raw)
        assert bool(result.credentials) is given
        assert [reason for reason, *_ in reasons(result)] == ([] if given else ["RefNotGranted"])


def test_a_global_profile_means_the_pods_own_namespace_where_it_names_none():
    raw = global_profile(rules=injecting()["spec"]["rules"])
    assert resolved(Reader({KEY: found(apiKey="v")}), raw).credentials


def test_a_pinned_credential_goes_nowhere_else():
    result = resolved(Reader({KEY: found(apiKey="v", notes={"groyne.dev/allowed-hosts": "other.example.com"})}), injecting())
    assert (result.credentials, [reason for reason, *_ in reasons(result)]) == ({}, ["HostNotAllowed"])


def test_a_namespace_that_has_not_opted_in_is_not_asked():
    reader = Reader({KEY: found(apiKey="v")}, team_a=Access.CLOSED)
    result = resolved(reader, injecting())
    assert [reason for reason, *_ in reasons(result)] == ["NamespaceNotOptedIn"]
    assert reader.reads == []


def test_what_cannot_be_read_is_an_error_and_never_a_missing_secret():
    with pytest.raises(Unavailable):
        resolved(Reader({KEY: Unavailable("away")}), injecting())
    with pytest.raises(NotReadableYet):
        resolved(Reader(team_a=Access.UNKNOWN), injecting())


def test_a_secret_that_several_rules_name_is_read_once():
    reader = Reader({KEY: found(apiKey="v")})
    resolved(reader, injecting(), injecting("more"))
    assert reader.reads == [KEY]


def test_one_s_own_ca_is_used_and_one_that_cannot_be_used_stops_the_secret():
    ca = make_ca(now=NOW, name="company")
    good = found(**{"tls.crt": ca.cert_pem, "tls.key": ca.key_pem})
    key = Key("team-a", "company-ca")
    assert resolved(Reader({key: good}), profile(), ca=key).own_ca.cert_pem == ca.cert_pem
    for bad in (None, found(**{"tls.crt": "nonsense", "tls.key": ca.key_pem}), found(**{"tls.crt": ca.cert_pem})):
        result = resolved(Reader({key: bad}), profile(), ca=key)
        assert result.own_ca is None
        assert result.failure.fatal
        assert "company-ca" in result.failure.message
        assert ca.key_pem not in repr(result)


def test_a_credential_shows_in_no_repr():
    assert "s3cr3t" not in repr(resolved(Reader({KEY: found(apiKey="s3cr3t")}), injecting()))


def test_the_first_ca_that_is_named_holds_profiles_before_the_template():
    book = ProfileBook()
    for raw in (
        profile("a"),
        profile("b", annotations={"groyne.dev/ca-secret": "b-ca"}),
        profile("c", annotations={"groyne.dev/ca-secret": "c-ca"}),
    ):
        book.put(raw)
    entries = [book.get(found.ref) for found in book.select(AGENT).profiles]
    raw = template()
    raw["metadata"]["annotations"] = {"groyne.dev/ca-secret": "template-ca"}
    model = parse(raw).object
    assert ca_named(model, entries, "team-a") == Key("team-a", "b-ca")
    assert ca_named(model, entries[:1], "team-a") == Key("team-a", "template-ca")
    assert ca_named(parse(template()).object, entries[:1], "team-a") is None
