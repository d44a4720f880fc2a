"""`TEMPLATE-groyne`: a second policy that opens the way to ext-proc, for templates with a rule that is carried out there.

It only ever adds: the pods are already isolated by their template's policy. Where nobody's policy isolates them (Unmanaged, as
far as is known here) a policy of ours would close everything else, so there is none, and its absence is said. Audit webhooks and
credential providers are ext-proc's to reach: no pod of a template needs a way there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.compile.output import Manifest, Output, metadata, name_too_long
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from policy.program import Engine, Selection
from policy.template_hashes import pod_selector

SUFFIX = "-groyne"


def labels() -> Mapping[str, str]:
    return {"app.kubernetes.io/name": "groyne", "app.kubernetes.io/component": "ext-proc"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where ext-proc's pods are: as kustomize/components/ext-proc puts them, beside the controller."""

    namespace: str = "groyne-system"
    labels: Mapping[str, str] = field(default_factory=labels)
    port: int = 9002


def needed(selection: Selection) -> bool:
    return any(rule.engine is Engine.EXTPROC for rule in selection.rules)


def groyne_policy(template: SandboxTemplate, selection: Selection, ext_proc: Endpoint) -> Output:
    if not needed(selection):
        return Output()
    if not template.spec.managed:
        return Output(problems=(not_ours(ext_proc),))
    if too_long := name_too_long(template, SUFFIX):
        return Output(problems=(too_long,))
    spec = {"podSelector": pod_selector(template.metadata.name), "policyTypes": ["Egress"], "egress": [egress(ext_proc)]}
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(template, SUFFIX)}
    return Output(manifest={**head, "spec": spec})


def egress(endpoint: Endpoint) -> Manifest:
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": endpoint.namespace}},
        "podSelector": {"matchLabels": dict(endpoint.labels)},
    }
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": endpoint.port}]}


def not_ours(endpoint: Endpoint) -> Problem:
    wanted = f"ext-proc (namespace {endpoint.namespace}, TCP {endpoint.port})"
    message = f"the template's network policy is Unmanaged: let your own policy allow egress to {wanted}"
    return Problem(reason="EgressNotManaged", message=message, field="spec.networkPolicyManagement", fatal=False)
