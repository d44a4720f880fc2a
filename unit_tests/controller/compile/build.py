"""Small objects for the tests of this folder, as YAML would give them."""

from typing import Any

from crds.kinds import parse
from crds.sandbox_template import SandboxTemplate
from crds.security_profile import SecurityProfile
from policy.compile import compile_program
from policy.program import Program


def raw_template(name: str = "python", /, *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
        "kind": "SandboxTemplate",
        "metadata": {"name": name, "namespace": "team-a", **(metadata or {})},
        "spec": {"podTemplate": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}}, **spec},
    }


def template(name: str = "python", /, *, metadata: dict[str, Any] | None = None, **spec: Any) -> SandboxTemplate:
    return read_template(raw_template(name, metadata=metadata, **spec))


def read_template(raw: dict[str, Any]) -> SandboxTemplate:
    parsed = parse(raw)
    assert isinstance(parsed.object, SandboxTemplate), parsed.problems
    return parsed.object


def profile(name: str, rules: list[dict[str, Any]], *, labels: dict[str, str] | None = None) -> SecurityProfile:
    raw = {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": "SecurityProfile",
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {"selector": {"matchLabels": labels or {"app": "agent"}}, "rules": rules},
    }
    parsed = parse(raw)
    assert isinstance(parsed.object, SecurityProfile), parsed.problems
    return parsed.object


def program(*profiles: SecurityProfile) -> Program:
    result = compile_program(profiles)
    assert not [problem for problems in result.problems.values() for problem in problems if problem.fatal], result.problems
    return result.program


def block(*domains: str, name: str = "block", **match: Any) -> dict[str, Any]:
    return {"name": name, "match": [{"domains": list(domains), **match}], "actions": {"block": {}}}


def token(domain: str, *, name: str = "token") -> dict[str, Any]:
    written = {"credentialRef": {"secret": {"name": "keys"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return {"name": name, "match": [{"domains": [domain]}], "actions": {"tokenTransformation": written}}
