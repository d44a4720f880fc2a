"""Profiles in the shortest form that the tests of this folder need, compiled as users' profiles are."""

from typing import Any

from crds.kinds import parse
from crds.security_profile import SecurityProfile
from dataplane.compile import Plan, make_plan
from policy.compile import compile_program
from policy.program import Identity

NAMESPACE = "agents"


def plan(*rules: dict[str, Any]) -> Plan:
    """The plan of one profile with these rules."""
    raw = {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": "SecurityProfile",
        "metadata": {"name": "profile", "namespace": NAMESPACE},
        "spec": {"selector": {}, "rules": list(rules)},
    }
    parsed = parse(raw)
    assert isinstance(parsed.object, SecurityProfile), parsed.problems
    result = compile_program([parsed.object])
    assert not [problem for found in result.problems.values() for problem in found if problem.fatal], result.problems
    return make_plan(result.program.select(Identity(namespace=NAMESPACE)))


def rule(name: str, *domains: str, actions: dict[str, Any], **match: Any) -> dict[str, Any]:
    return {"name": name, "match": [{"domains": list(domains), **match}], "actions": actions}


def block(name: str, *domains: str, **match: Any) -> dict[str, Any]:
    return rule(name, *domains, actions={"block": {}}, **match)


def bypass(name: str, *domains: str, **match: Any) -> dict[str, Any]:
    return rule(name, *domains, actions={"bypass": True}, **match)


def token(name: str, *domains: str) -> dict[str, Any]:
    written = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return rule(name, *domains, actions={"tokenTransformation": written})
