"""Who may use which Secret for which hosts, and what a credential's value may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.problem import Problem
from policy.program import Identity, SecretKeyRef
from policy.references import LONGEST_CREDENTIAL, check_credential, refusal, secret_refs, withhold
from unit_tests.policy.profiles import model, program, rule, selection, token


def use(*, namespace=None, domains=("h.test",), kind="SecurityProfile", pod="default"):
    transformation = token()
    if namespace:
        transformation["credentialRef"]["secret"]["namespace"] = namespace
    chosen = program(model(rule(domains=domains, tokenTransformation=transformation), kind=kind)).select(Identity(namespace=pod))
    (found,) = secret_refs(chosen)
    return found


def refused(found, **annotations):
    problem = refusal(found.rule, found.ref, {f"groyne.dev/{key.replace('_', '-')}": value for key, value in annotations.items()})
    assert problem is None or not problem.fatal
    return problem.reason if problem else None


def test_references_are_resolved_and_in_the_order_of_the_rules():
    chosen = selection(rule("a", tokenTransformation=token("x")), rule("b"), rule("c", tokenTransformation=token("y")))
    assert [(found.rule.name, str(found.ref)) for found in secret_refs(chosen)] == [("a", "default/x[apiKey]"), ("c", "default/y[apiKey]")]


def test_a_bare_reference_of_a_global_profile_is_the_pods_own():
    found = use(kind="GlobalSecurityProfile", pod="team")
    assert found.ref == SecretKeyRef(namespace="team", name="openai", key="apiKey")
    assert refused(found) is None


def test_a_secret_of_the_profiles_own_namespace_needs_no_grant():
    assert refused(use()) is None
    assert refused(use(namespace="default")) is None


@pytest.mark.parametrize(
    ("grant", "reason"),
    [(None, "RefNotGranted"), ("team", "RefNotGranted"), ("team, default", None), ("*", None), ("not a namespace!", "RefNotGranted")],
)
def test_another_namespace_needs_the_owners_grant(grant, reason):
    assert refused(use(namespace="vault"), **({"grant_to": grant} if grant else {})) == reason


@pytest.mark.parametrize(("grant", "reason"), [("default", "RefNotGranted"), ("*", None)])
def test_a_global_profile_that_names_a_namespace_needs_the_grant_to_all(grant, reason):
    assert refused(use(namespace="vault", kind="GlobalSecurityProfile"), grant_to=grant) == reason


@pytest.mark.parametrize(
    ("domains", "pins", "reason"),
    [
        (["api.openai.com"], "API.openai.com.", None),
        (["api.openai.com"], "*.openai.com", None),
        (["*.openai.com"], "*.openai.com", None),
        (["*.openai.com"], "api.openai.com", "HostNotAllowed"),
        (["api.openai.com", "evil.test"], "api.openai.com", "HostNotAllowed"),
        (["*"], "api.openai.com", "HostNotAllowed"),
        (["*"], "*", None),
        (["h.test"], "", "HostNotAllowed"),
        (["h.test"], "https://h.test", "HostNotAllowed"),
        (["h.test"], "127.1, h.test", None),
    ],
)
def test_a_pinned_secret_goes_to_its_hosts_only(domains, pins, reason):
    assert refused(use(domains=domains), allowed_hosts=pins) == reason


def test_withheld_credentials_are_those_of_the_named_rules_only():
    chosen = selection(rule("a", tokenTransformation=token()), rule("b", tokenTransformation=token()))
    problem = Problem(reason="HostNotAllowed", message="")
    held = withhold(chosen, {"default/p/a": problem})
    assert [found.ref.withheld for found in secret_refs(held)] == [True, False]
    assert withhold(chosen, {}) == chosen


@pytest.mark.parametrize(
    ("value", "credential"),
    [
        (b"sk-1", "sk-1"),
        (b"sk-1\n", "sk-1"),
        (b"sk-1\r\n", "sk-1"),
        (b"a b", "a b"),
        (b"a\tb", "a\tb"),
        ("clé".encode(), "cl\xc3\xa9"),
        (b"x" * LONGEST_CREDENTIAL, "x" * LONGEST_CREDENTIAL),
    ],
)
def test_a_value_loses_one_line_end_and_nothing_else(value, credential):
    assert check_credential(value) == credential


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\n",
        b"\r\n",
        b"secret\n\n",
        b"secret\r",
        b"sec\nret",
        b"sec\x00ret",
        b"secret\x7f",
        b" secret",
        b"secret \n",
        b"secret" * LONGEST_CREDENTIAL,
        b"secret\xff",
    ],
)
def test_a_value_that_no_header_can_hold_is_a_problem_without_the_value(value):
    problem = check_credential(value)
    assert isinstance(problem, Problem)
    assert (problem.reason, problem.fatal) == ("InvalidCredential", False)
    assert "secret" not in problem.message


@given(st.binary(max_size=20))
def test_any_value_is_a_credential_or_a_problem(value):
    found = check_credential(value)
    if isinstance(found, str):
        assert value.removesuffix(b"\n").removesuffix(b"\r") == found.encode("latin-1")
