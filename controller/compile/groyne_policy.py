"""`TEMPLATE-groyne`: a second policy that opens the way to Groyne's own services, for templates whose rules need one.

It only ever adds: the pods are already isolated by their template's policy. Where nobody's policy isolates them (Unmanaged, as
far as is known here) a policy of ours would close everything else, so there is none, and its absence is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from controller.compile.output import Manifest, Output, metadata, name_too_long
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from policy.program import Engine, Selection
from policy.template_hashes import pod_selector

SUFFIX = "-groyne"


class Service(StrEnum):
    """What of ours a pod's proxy may have to reach."""

    EXTPROC = "ext-proc"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service's pods are."""

    namespace: str = "groyne-system"
    labels: Mapping[str, str] = field(default_factory=dict)
    port: int


ENDPOINTS: Mapping[Service, Endpoint] = {
    Service.EXTPROC: Endpoint(labels={"app.kubernetes.io/name": "groyne", "app.kubernetes.io/component": "ext-proc"}, port=9002),
    Service.AUDIT: Endpoint(labels={"app.kubernetes.io/name": "groyne", "app.kubernetes.io/component": "audit"}, port=9003),
}


def needed_services(selection: Selection) -> frozenset[Service]:
    """What the rules ask for; whether audit is collected is the operator's decision."""
    return frozenset({Service.EXTPROC} if any(rule.engine is Engine.EXTPROC for rule in selection.rules) else ())


def groyne_policy(template: SandboxTemplate, needed: Iterable[Service], endpoints: Mapping[Service, Endpoint] = ENDPOINTS) -> Output:
    services = sorted(set(needed))
    if not services:
        return Output()
    if not template.spec.managed:
        return Output(problems=(not_ours(services, endpoints),))
    if too_long := name_too_long(template, SUFFIX):
        return Output(problems=(too_long,))
    spec = {
        "podSelector": pod_selector(template.metadata.name),
        "policyTypes": ["Egress"],
        "egress": [egress(endpoints[service]) for service in services],
    }
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(template, SUFFIX)}
    return Output(manifest={**head, "spec": spec})


def egress(endpoint: Endpoint) -> Manifest:
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": endpoint.namespace}},
        "podSelector": {"matchLabels": dict(endpoint.labels)},
    }
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": endpoint.port}]}


def not_ours(services: list[Service], endpoints: Mapping[Service, Endpoint]) -> Problem:
    wanted = ", ".join(f"{service} (namespace {endpoints[service].namespace}, TCP {endpoints[service].port})" for service in services)
    message = f"the template's network policy is Unmanaged: let your own policy allow egress to {wanted}"
    return Problem(reason="EgressNotManaged", message=message, field="spec.networkPolicyManagement", fatal=False)
