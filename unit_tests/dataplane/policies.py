"""Profiles in the shortest form that the tests of this folder need, compiled as users' profiles are."""

from dataclasses import replace
from typing import Any

from crds.kinds import parse
from crds.security_profile import SecurityProfile
from dataplane.compile import Plan, make_plan
from policy.compile import compile_program
from policy.program import AuditHook, Engine, GoTemplate, Identity, Profile

NAMESPACE = "agents"


HOOK = AuditHook(name="hook", url=GoTemplate(text="https://audit.test/"))


def plan(*rules: dict[str, Any], told: tuple[str, ...] = ()) -> Plan:
    """The plan of one profile with these rules, of which those that `told` names have a webhook."""
    raw = {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": "SecurityProfile",
        "metadata": {"name": "profile", "namespace": NAMESPACE},
        "spec": {"selector": {}, "rules": list(rules)},
    }
    parsed = parse(raw)
    assert isinstance(parsed.object, SecurityProfile), parsed.problems
    result = compile_program([parsed.object], engines=frozenset(Engine))
    assert not [problem for found in result.problems.values() for problem in found if problem.fatal], result.problems
    selection = result.program.select(Identity(namespace=NAMESPACE))
    return make_plan(replace(selection, profiles=tuple(with_hooks(profile, told) for profile in selection.profiles)))


def with_hooks(profile: Profile, names: tuple[str, ...]) -> Profile:
    return replace(profile, rules=tuple(replace(each, audit=(HOOK,)) if each.name in names else each for each in profile.rules))


def rule(name: str, *domains: str, actions: dict[str, Any], **match: Any) -> dict[str, Any]:
    return {"name": name, "match": [{"domains": list(domains), **match}], "actions": actions}


def block(name: str, *domains: str, **match: Any) -> dict[str, Any]:
    return rule(name, *domains, actions={"block": {}}, **match)


def bypass(name: str, *domains: str, **match: Any) -> dict[str, Any]:
    return rule(name, *domains, actions={"bypass": True}, **match)


def token(name: str, *domains: str) -> dict[str, Any]:
    written = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return rule(name, *domains, actions={"tokenTransformation": written})


def issued(name: str, *domains: str, **match: Any) -> dict[str, Any]:
    """A rule for ext-proc: a credential that a provider issues."""
    source = {"credentialProvider": {"name": "vault"}}
    return rule(
        name, *domains, actions={"tokenTransformation": {"credentialRef": source, "apiKey": {"valueTemplate": "{{ .Token }}"}}}, **match
    )
