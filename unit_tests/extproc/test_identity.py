"""Whose request it is, by what Envoy's attributes say: exact names, exact forms, and nothing guessed."""

import base64
import json

import pytest

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS, SANDBOX_TOKEN, SOURCE_ADDRESS
from extproc.edge.messages import FILTER, Reader, attributes_of
from extproc.identity import LONGEST, Caller, SandboxToken, Unknown, from_attributes, from_metadata, host_of, read_labels, read_token
from policy.program import Identity
from unit_tests.extproc.envoy import pb

POD = {PEER_NAMESPACE: "team", PEER_NAME: "pod-0"}


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def as_token(**fields):
    return encoded(json.dumps(fields))


def test_a_pod_is_its_namespace_name_and_labels():
    """As the gateway's filter state says."""
    found = from_attributes(
        {
            **POD,
            SANDBOX_LABELS: encoded("b=2,a=1"),
            SOURCE_ADDRESS: "10.0.0.7:4242",
            SANDBOX_TOKEN: as_token(accessToken="t", sandboxClientId="c"),
        }
    )
    assert found == Caller(
        identity=Identity(namespace="team", labels=(("a", "1"), ("b", "2"))),
        pod="pod-0",
        address="10.0.0.7",
        token=SandboxToken(access_token="t", client_id="c"),
    )
    assert found.name == "pod team/pod-0"


@pytest.mark.parametrize("missing", [PEER_NAMESPACE, PEER_NAME])
@pytest.mark.parametrize("empty", [True, False])
def test_half_an_identity_is_none(missing, empty):
    """Neither a debugging pod nor the namespace alone stands in for it."""
    attributes = POD | {missing: ""} if empty else {name: value for name, value in POD.items() if name != missing}
    assert from_attributes(attributes) == Unknown(reason="missing_identity")


def test_without_an_attribute_of_a_pod_others_are_asked():
    """Labels alone name nobody."""
    assert from_attributes({SANDBOX_LABELS: encoded("a=1"), SOURCE_ADDRESS: "10.0.0.7:1"}) is None


@pytest.mark.parametrize(
    "like",
    [
        "filter_state['downstream_peer'].namespace2",
        "x-filter_state['downstream_peer'].namespace",
        "filter_state['filter_state['downstream_peer'].namespace']",
        "namespace",
        "Filter_State['downstream_peer'].namespace",
        " filter_state['downstream_peer'].namespace",
    ],
)
def test_only_the_exact_name_of_an_attribute_counts(like):
    """Not what ends with it, holds it, or is wrapped around it."""
    assert from_attributes({like: "team", PEER_NAME: "pod-0"}) == Unknown(reason="missing_identity")


@pytest.mark.parametrize("place", [FILTER + ".2", "my-ext_proc", "", FILTER.upper()])
def test_only_attributes_of_the_filter_count(place):
    """Others may be anybody's."""
    message = pb.ProcessingRequest()
    message.attributes[place].update(POD)
    assert attributes_of(message) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [("team", "team"), ({"value": "team"}, "team"), ({"value": 1}, ""), ({"other": "team"}, ""), ({"value": {"value": "team"}}, ""),
     (1, ""), (True, ""), (None, ""), (["team"], "")],
)  # fmt: skip
def test_attributes_are_texts_or_structs_with_a_text(value, text):
    """Of any other kind nothing is known, and nothing fails."""
    message = pb.ProcessingRequest()
    message.attributes[FILTER].update({PEER_NAMESPACE: value, PEER_NAME: "pod-0"})
    message.request_headers.SetInParent()
    assert Reader().read(message.SerializeToString()).attributes[PEER_NAMESPACE] == text


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("app=agent", (("app", "agent"),)),
        ("b=2,a=1", (("a", "1"), ("b", "2"))),
        (" a = 1 , b=2 ", (("a", "1"), ("b", "2"))),
        ("label=key=value", (("label", "key=value"),)),
        ("a=", (("a", ""),)),
        ("a=1,junk,b=2,", (("a", "1"), ("b", "2"))),
        ("a=1,a=2", (("a", "2"),)),
        ("é=ü", (("é", "ü"),)),
    ],
)
def test_labels_are_pairs_split_at_the_first_equals_sign(text, labels):
    """What is no pair between them is passed over."""
    assert read_labels(encoded(text)) == labels


def test_no_labels_are_no_labels():
    """Profiles that select everything hold."""
    assert from_attributes(POD).identity == Identity(namespace="team")
    assert from_attributes({**POD, SANDBOX_LABELS: ""}).identity == Identity(namespace="team")


@pytest.mark.parametrize(
    "text", ["%%%", "a=1", encoded("a=1")[:-1], encoded("a=1") + "\n", encoded("junk"), encoded("=1"), encoded(" "),
             base64.b64encode(b"\xff=\xfe").decode(), base64.urlsafe_b64encode(b"a=\xff\xfe").decode()]
)  # fmt: skip
def test_labels_that_say_nothing_are_no_identity(text):
    """They are not taken for none: a selector that excludes by label would then hold."""
    found = from_attributes({**POD, SANDBOX_LABELS: text})
    assert isinstance(found, Unknown)
    assert found.reason == "label_decode_failure"
    assert found.caller == Caller(identity=Identity(namespace="team"), pod="pod-0")


@pytest.mark.parametrize(
    "text", ["", "-", "%", encoded("[]"), encoded("1"), encoded("{"), as_token(sandboxClientId="c"), as_token(accessToken=""),
             as_token(accessToken=1), as_token(accessToken="t", sandboxClientId=1), as_token(accessToken=["t"]),
             encoded("[" * 100_000), base64.b64encode(b"\xff\xfe{").decode(), "A" * (LONGEST + 4)]
)  # fmt: skip
def test_a_token_that_cannot_be_read_is_none(text):
    """Which is a failure of the rule that needs one, and of nothing else."""
    assert read_token(text) is None
    assert isinstance(from_attributes({**POD, SANDBOX_TOKEN: text}), Caller)


def test_a_token_without_a_client_is_one():
    """Whether that may be cached is the cache's affair."""
    assert read_token(as_token(accessToken="t")) == SandboxToken(access_token="t", client_id="")


def test_a_token_shows_in_no_representation():
    """Whoever logs a caller logs no proof of who it is."""
    shown = repr(from_attributes({**POD, SANDBOX_TOKEN: as_token(accessToken="sandbox-proof", sandboxClientId="c")}))
    assert "sandbox-proof" not in shown


@pytest.mark.parametrize(
    ("address", "host"),
    [("10.0.0.1:5000", "10.0.0.1"), ("[fd00::1]:5000", "fd00::1"), ("fd00::1", "fd00::1"), ("10.0.0.1", "10.0.0.1"), ("", ""),
     ("[fd00::1", "fd00::1"), ("/run/a.sock", "/run/a.sock"), ("envoy://internal_client_address/", "envoy")],
)  # fmt: skip
def test_an_address_is_told_from_its_port(address, host):
    """As Envoy writes both kinds."""
    assert host_of(address) == host


def metadata(**said):
    return encoded(json.dumps(said))


def test_an_envoy_of_its_own_says_whose_it_is():
    """Namespace and labels, and what else it knows."""
    found = from_metadata(metadata(namespace="team", labels={"b": "2", "a": "1"}, template="team/coder", token=as_token(accessToken="t")))
    assert found.identity == Identity(namespace="team", labels=(("a", "1"), ("b", "2")))
    assert found.name == "template team/coder"
    assert found.token == SandboxToken(access_token="t")


@pytest.mark.parametrize(
    "text",
    ["%", encoded("[]"), metadata(), metadata(namespace=""), metadata(namespace=1), metadata(namespace="t", labels=[]),
     metadata(namespace="t", labels={"a": 1}), metadata(namespace="t", labels="a=1"), "A" * (LONGEST + 4)],
)  # fmt: skip
def test_metadata_that_says_nothing_is_no_identity(text):
    """It is refused, not passed over."""
    assert from_metadata(text) == Unknown(reason="missing_identity")


def test_who_cannot_be_named_has_no_name():
    """A provider's cache keeps nothing for it."""
    assert Caller(identity=Identity(namespace="team")).name == ""
