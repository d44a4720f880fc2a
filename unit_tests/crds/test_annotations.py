"""Our annotations: syntax, place, and values that fail closed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds import Problem, annotations, parse
from crds.annotations import Annotations, Source, ValueFrom
from unit_tests.crds.build import Raw, profile, secret, template


def noted(raw: Raw, **notes: str) -> Raw:
    keys = {f"groyne.dev/{name.replace('_', '-')}": text for name, text in notes.items()}
    return {**raw, "metadata": {**raw["metadata"], "annotations": keys}}


def remarks(raw: Raw) -> list[tuple[str, str, bool]]:
    return [(p.reason, p.field.removeprefix("metadata.annotations"), p.fatal) for p in parse(raw).problems]


def test_every_annotation_is_read() -> None:
    assert annotations.read(
        {
            annotations.CA_SECRET: "company-ca",
            annotations.PASSTHROUGH_DOMAINS: "*.bank.example, pypi.org,",
            annotations.ALLOW_ESCAPED_SLASHES: "registry.npmjs.org",
            annotations.ALLOWED_HOSTS: "api.openai.com,[::1],10.0.0.1",
            annotations.GRANT_TO: "team-a, team-b",
            annotations.VALUE_FROM + "apiKey": "exec:op read 'op://a b/c'",
            annotations.VALUE_FROM + "other": "env:KEY",
        }
    ) == Annotations(
        ca_secret="company-ca",
        passthrough_domains=("*.bank.example", "pypi.org"),
        allow_escaped_slashes=("registry.npmjs.org",),
        allowed_hosts=("api.openai.com", "[::1]", "10.0.0.1"),
        grant_to=("team-a", "team-b"),
        value_from={
            "apiKey": ValueFrom(source=Source.EXEC, argument="op read 'op://a b/c'"),
            "other": ValueFrom(source=Source.ENV, argument="KEY"),
        },
    )


def test_a_command_is_split_without_a_shell() -> None:
    assert ValueFrom(source=Source.EXEC, argument="op read 'a b' $HOME").command == ("op", "read", "a b", "$HOME")


def test_no_annotation_pins_nothing_and_grants_nothing() -> None:
    nothing = annotations.read({"example.com/other": "x"})
    assert (nothing.allowed_hosts, nothing.grants("team-a")) == (None, False)


@pytest.mark.parametrize("pin", ["", " , ", "https://api.example.com", "a b", "host:443", "host/path", "x" * 300])
def test_an_unreadable_pin_allows_no_host(pin: str) -> None:
    assert annotations.read({annotations.ALLOWED_HOSTS: pin}).allowed_hosts == ()


@pytest.mark.parametrize(("grant", "granted"), [("*", True), ("team-a", True), ("team-b", False), ("team-*", False), ("", False)])
def test_a_grant_names_namespaces_or_all(grant: str, granted: bool) -> None:
    assert annotations.read({annotations.GRANT_TO: grant}).grants("team-a") is granted


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        (noted(secret(), allowed_hosts=""), "allowed-hosts"),
        (noted(secret(), allowed_hosts="https://x"), "allowed-hosts"),
        (noted(secret(), allowed_hosts="x" * 300), "allowed-hosts"),
        (noted(secret(), grant_to=""), "grant-to"),
        (noted(secret(), grant_to="Team"), "grant-to"),
        (noted(profile(), ca_secret="Not A Name"), "ca-secret"),
        (noted(template(), passthrough_domains="a.*"), "passthrough-domains"),
        (noted(profile(), allow_escaped_slashes="a.com:443"), "allow-escaped-slashes"),
        (noted(secret(), **{"value_from.k": "KEY"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "env:"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "env:A B"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "file: "}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "exec:'open"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "exec:''"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "vault:x"}), "value-from.k"),
        (noted(secret(), **{"value_from.k": "file:" + "x" * 5000}), "value-from.k"),
    ],
)
def test_an_annotation_that_cannot_be_read_keeps_the_object_out(raw: Raw, key: str) -> None:
    assert remarks(raw) == [("InvalidValue", f'["groyne.dev/{key}"]', True)]
    assert parse(raw).object is None


@pytest.mark.parametrize(
    ("key", "meant"),
    [("ca-secrets", "ca-secret"), ("allow-hosts", "allowed-hosts"), ("passthroughDomains", "passthrough-domains"), ("zzz", "no effect")],
)
def test_an_unknown_annotation_of_ours_is_remarked_upon(key: str, meant: str) -> None:
    parsed = parse(noted(secret(), **{key: "x"}))
    (problem,) = parsed.problems
    assert parsed.object is not None
    assert (problem.reason, problem.fatal) == ("UnknownAnnotation", False)
    assert meant in problem.message


def test_value_from_needs_a_key() -> None:
    """Nothing is read from it, and the API server would refuse a key that ends with a dot."""
    raw = noted(secret(), **{"value_from.": "env:A"})
    assert [reason for reason, *_ in remarks(raw)] == ["InvalidValue", "UnknownAnnotation"]
    assert annotations.read(raw["metadata"]["annotations"]).value_from == {}


@pytest.mark.parametrize(
    "raw", [noted(profile(), allowed_hosts="a.com"), noted(secret(), ca_secret="a"), noted(template(), allow_escaped_slashes="a.com")]
)
def test_an_annotation_on_the_wrong_kind_is_remarked_upon(raw: Raw) -> None:
    (problem,) = parse(raw).problems
    assert (problem.reason, problem.fatal) == ("MisplacedAnnotation", False)
    assert "it belongs on a " in problem.message


def test_other_peoples_annotations_are_theirs() -> None:
    raw = profile()
    raw["metadata"]["annotations"] = {"example.com/ca-secret": "Not A Name", "notgroyne.dev/x": ""}
    assert parse(raw).problems == ()


@given(
    st.text(),
    st.sampled_from([annotations.parse_hosts, annotations.parse_namespaces, annotations.parse_value_from, annotations.parse_secret_name]),
)
def test_any_text_is_a_value_or_a_problem(text: str, read: object) -> None:
    value = read(text)  # type: ignore[operator]
    assert isinstance(value, str | tuple | ValueFrom | Problem)
