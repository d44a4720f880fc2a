"""Who a template's pods are: the namespace and labels by which profiles select them.

Labels are those that the template gives its pods, plus the hash of its name that agent-sandbox's controllers put on each
pod. Labels with a reserved prefix never reach a pod from a template, so a profile that selects them selects nothing here.
"""

from crds.sandbox_template import SandboxTemplate
from policy.program import Identity
from policy.template_hashes import HASH_LABEL, name_hash

DEFAULT_NAMESPACE = "default"
RESERVED_PREFIXES = ("agents.x-k8s.io/", "extensions.agents.x-k8s.io/")


def template_identity(template: SandboxTemplate) -> Identity:
    written = template.spec.pod_template.metadata.labels
    kept = {key: value for key, value in written.items() if not key.startswith(RESERVED_PREFIXES)}
    labels = {**kept, HASH_LABEL: name_hash(template.metadata.name)}
    return Identity(namespace=namespace_of(template), labels=tuple(sorted(labels.items())))


def namespace_of(template: SandboxTemplate) -> str:
    return template.metadata.namespace or DEFAULT_NAMESPACE
