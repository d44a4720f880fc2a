"""tokenTransformation: one source of the credential, in one form."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, acting, faults, injecting

AT = "spec.rules[0].actions.tokenTransformation"


def token(**given: Any) -> Any:
    return accepted(injecting(**given)).spec.rules[0].actions.token_transformation


def test_defaults_fail_closed() -> None:
    action = token()
    assert (action.disabled, action.fail_strategy, action.type) == (False, "Block", "ApiKey")
    assert (action.api_key.target_header, action.api_key.when) == ("Authorization", None)
    assert (action.credential_ref.secret.name, action.credential_ref.secret.namespace) == ("key", None)


def test_the_condition_reads_header_and_pattern() -> None:
    when = token(apiKey={"valueTemplate": "x", "when": {"header": "X-Key", "pattern": "^p"}}).api_key.when
    assert (when.header, when.pattern) == ("X-Key", "^p")


def test_the_deprecated_secret_reference_becomes_the_typed_one() -> None:
    reference = token(credentialRef={"kind": "Secret", "name": "old", "namespace": "ns"}).credential_ref
    assert (reference.secret.name, reference.secret.namespace) == ("old", "ns")
    assert (reference.kind, reference.name, reference.namespace) == (None, None, None)


def test_the_deprecated_provider_reference_loses_its_namespace() -> None:
    reference = token(credentialRef={"kind": "CredentialProvider", "name": "old", "namespace": "ns"}).credential_ref
    assert (reference.credential_provider.name, reference.credential_provider.namespace) == ("old", None)
    assert reference.secret is None


def test_both_spellings_of_a_reference_are_equal() -> None:
    assert token(credentialRef={"kind": "Secret", "name": "key"}) == token(credentialRef={"secret": {"name": "key"}})


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ({}, [("MissingField", "")]),
        ({"secret": {"name": "a"}, "credentialProvider": {"name": "b"}}, [("Conflict", "")]),
        ({"secret": {"name": "a"}, "kind": "Secret", "name": "a"}, [("Conflict", "")]),
        ({"secret": {"name": "a"}, "namespace": "n"}, [("Conflict", ""), ("MissingField", ".kind"), ("MissingField", ".name")]),
        ({"kind": "Secret"}, [("MissingField", ".name")]),
        ({"name": "a"}, [("MissingField", ".kind")]),
        ({"kind": "secret", "name": "a"}, [("InvalidEnum", ".kind")]),
        ({"secret": {}}, [("MissingField", ".secret.name")]),
        ({"secret": {"name": ""}}, [("InvalidValue", ".secret.name")]),
        ({"secret": {"name": "x" * 254}}, [("TooLong", ".secret.name")]),
        ({"secret": {"name": "a", "key": "k"}}, [("UnknownField", ".secret.key")]),
        ({"credentialProvider": {"name": "a", "parameters": {"p": {}}}}, [("Conflict", ".credentialProvider.parameters.p")]),
        (
            {"credentialProvider": {"name": "a", "parameters": {"p": {"value": "", "cel": "1"}}}},
            [("Conflict", ".credentialProvider.parameters.p")],
        ),
        (
            {"credentialProvider": {"name": "a", "parameters": {"p": {"cel": ""}}}},
            [("InvalidValue", ".credentialProvider.parameters.p.cel")],
        ),
    ],
)
def test_a_reference_names_one_source(reference: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert faults(injecting(credentialRef=reference)) == [(reason, f"{AT}.credentialRef{field}") for reason, field in found]


def test_a_parameter_may_be_an_empty_text() -> None:
    reference = token(credentialRef={"credentialProvider": {"name": "a", "parameters": {"p": {"value": ""}}}}).credential_ref
    assert reference.credential_provider.parameters["p"].value == ""


@pytest.mark.parametrize("given", [{}, {"type": "ApiKey"}, {"type": None}])
def test_an_api_key_needs_its_configuration(given: dict[str, Any]) -> None:
    raw = acting(tokenTransformation={"credentialRef": {"secret": {"name": "a"}}, **given})
    assert faults(raw) == [("MissingField", f"{AT}.apiKey")]


def test_sts_needs_no_api_key() -> None:
    accepted(acting(tokenTransformation={"type": "AliyunSTS", "credentialRef": {"secret": {"name": "a"}}}))


@pytest.mark.parametrize(
    ("given", "reason", "field"),
    [
        ({"failStrategy": ""}, "InvalidEnum", "failStrategy"),
        ({"disabled": "no"}, "InvalidType", "disabled"),
        ({"type": "Bearer"}, "InvalidEnum", "type"),
        ({"apiKey": {}}, "MissingField", "apiKey.valueTemplate"),
        ({"apiKey": {"valueTemplate": ""}}, "InvalidValue", "apiKey.valueTemplate"),
        ({"apiKey": {"valueTemplate": "x" * 1025}}, "TooLong", "apiKey.valueTemplate"),
        ({"apiKey": {"valueTemplate": "x", "targetHeader": ""}}, "InvalidValue", "apiKey.targetHeader"),
        ({"apiKey": {"valueTemplate": "x", "targetHeader": "a:b"}}, "InvalidValue", "apiKey.targetHeader"),
        ({"apiKey": {"valueTemplate": "x", "when": {"header": "a"}}}, "MissingField", "apiKey.when.pattern"),
        ({"apiKey": {"valueTemplate": "x", "when": {"header": "a", "pattern": "x" * 513}}}, "TooLong", "apiKey.when.pattern"),
        ({"credentialRef": None}, "MissingField", "credentialRef"),
    ],
)
def test_a_token_action_outside_its_limits_is_located(given: dict[str, Any], reason: str, field: str) -> None:
    assert faults(injecting(**given)) == [(reason, f"{AT}.{field}")]
