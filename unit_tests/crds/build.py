"""Raw objects for tests: the smallest valid ones, with a place to put the part under test."""

from typing import Any

from crds import Parsed, parse

Raw = dict[str, Any]


def profile(kind: str = "SecurityProfile", **spec: Any) -> Raw:
    return {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "sample"},
        "spec": {"selector": {}, **spec},
    }


def rule(name: str = "r", **actions: Any) -> Raw:
    return {"name": name, "match": [{"domains": ["*"]}], "actions": actions}


def matching(**match: Any) -> Raw:
    return profile(rules=[{"name": "r", "match": [{"domains": ["*"], **match}], "actions": {}}])


def acting(**actions: Any) -> Raw:
    return profile(rules=[rule(**actions)])


def injecting(**token: Any) -> Raw:
    return acting(
        tokenTransformation={"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}, **token}
    )


def auditing(**webhook: Any) -> Raw:
    return profile(audit=[{"name": "a", "webhook": {"url": "https://audit.example", **webhook}}])


def secret(**fields: Any) -> Raw:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, **fields}


def template(**spec: Any) -> Raw:
    return {
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
        "kind": "SandboxTemplate",
        "metadata": {"name": "agent"},
        "spec": {"podTemplate": {"spec": {"containers": []}}, **spec},
    }


def faults(raw: Any) -> list[tuple[str, str]]:
    """Reason and field of every problem."""
    return [(problem.reason, problem.field) for problem in parse(raw).problems]


def accepted(raw: Any) -> Any:
    """The object; fails the test with the problems where there are any."""
    parsed: Parsed = parse(raw)
    assert parsed.problems == ()
    assert parsed.object is not None
    return parsed.object
