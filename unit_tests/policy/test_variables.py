"""What expressions and templates read: everything that the catalogue names, and nothing that opens doors."""

import pytest

from policy.program import ProfileRef, Rule, SecretKeyRef, TokenTransformation, ValueTemplate
from policy.request import Request
from policy.variables import AFTER, BEFORE, PodFacts, after, before, carries_credential

RULE = Rule(profile=ProfileRef(kind="SecurityProfile", namespace="n", name="p"), name="r", index=0, match=())
REQUEST = Request(
    method="GET", scheme="https", host="h.test", port=443, path="/\xc3\xa9",
    query=(("a", "1"), ("a", "2"), ("z", "\x00"), ("access_token", "s3cret"), ("sig", "s3cret"), ("Api-Key", "s3cret")),
    headers=(("x-b", "\xff"), ("accept", "*/*"), ("authorization", "s3cret"), ("cookie", "s3cret"), ("x-api-key", "s3cret"),
             ("proxy-authorization", "s3cret"), ("x-amz-security-token", "s3cret"), ("x-mine", "s3cret")),
)  # fmt: skip


def test_every_name_of_the_catalogue_has_its_value():
    found = after(
        before(REQUEST, PodFacts(namespace="n", name="pod", ip="10.0.0.1", labels=(("b", "2"), ("a", "1"))), RULE, {"i": {"k": "v"}}),
        result="blocked",
        status=403,
    )
    assert set(found) == {cel for _, cel, _ in AFTER.fields}
    for _, name, kind in AFTER.fields:
        assert not kind.fields or set(found[name]) == {cel for _, cel, _ in kind.fields}
    assert found["request"]["path"] == "/é"
    assert found["request"]["queryParams"] == {"a": "1", "z": "\ufffd"}
    assert found["pod"]["labels"] == {"a": "1", "b": "2"}
    assert found["inputs"] == {"i": {"k": "v"}}


def test_credentials_are_left_out_by_name_and_so_is_what_the_rule_writes():
    secret = SecretKeyRef(namespace="n", name="s", key="apiKey")
    written = TokenTransformation(secret=secret, target_header="x-mine", template=ValueTemplate(parts=(None,)))
    plain = before(REQUEST, PodFacts(), RULE, {})["request"]["headers"]
    guarded = before(REQUEST, PodFacts(), Rule(profile=RULE.profile, name="r", index=0, match=(), token=written), {})
    assert plain == {"accept": "*/*", "x-b": "\ufffd", "x-mine": "s3cret"}
    assert "s3cret" not in str(guarded)


def test_without_an_answer_there_is_no_status():
    known = before(REQUEST, PodFacts(), RULE, {})
    assert set(known) == {cel for _, cel, _ in BEFORE.fields}
    assert after(known, result="error", status=None)["response"] == {}


@pytest.mark.parametrize(
    "name",
    ["key", "x-auth-key", "x-functions-key", "ocp-apim-subscription-key", "jwt", "x-jwt-assertion", "access_key", "api_key", "apikey"],
)
def test_names_that_vendors_give_to_keys_are_those_of_credentials(name):
    """Google's `?key=`, Cloudflare's, Azure's, and keys with an underscore."""
    assert carries_credential(name)


@pytest.mark.parametrize("name", ["keyword", "idempotency-key", "x-request-id", "accept", "monkey", "sort_key"])
def test_a_key_that_opens_nothing_may_be_read(name):
    """Whoever groups by it needs it."""
    assert not carries_credential(name)
