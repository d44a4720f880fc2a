"""The Kubernetes objects that manifests imply: for each SandboxTemplate its NetworkPolicy and the Secret that its pods' Envoy reads.

Pure. The Secret's certificates are made for this rendering only: a cluster's controller keeps its own.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.compile.hashes import collisions
from controller.compile.identity import namespace_of, template_identity
from controller.compile.network_policy import network_policy
from crds import Problem, SandboxTemplate
from dataplane.certificates import chunk_names, make_ca, make_leaf
from dataplane.compile import Pair, make_plan
from dataplane.sidecar import SidecarOptions, compile_sidecar
from dataplane.truststore import bundle
from policy.program import Program, SecretKeyRef

HIDDEN = "***"
Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """`problems` go by namespace and name of the template."""

    objects: tuple[Manifest, ...] = field(default=(), repr=False)
    problems: Mapping[tuple[str, str], tuple[Problem, ...]] = field(default_factory=dict)


def implied_objects(
    templates: Iterable[SandboxTemplate], program: Program, credentials: Mapping[SecretKeyRef, str], *, reveal: bool, now: datetime
) -> Rendered:
    """Without `reveal`, every value and private key is `***`."""
    listed = sorted(templates, key=lambda template: (namespace_of(template), template.metadata.name))
    objects: list[Manifest] = []
    problems: dict[tuple[str, str], tuple[Problem, ...]] = {}
    shared = collisions((namespace_of(template), template.metadata.name) for template in listed)
    for template in listed:
        key = (namespace_of(template), template.metadata.name)
        policy = network_policy(template)
        objects += [policy.manifest] if policy.manifest else []
        objects.append(unified_secret(template, program, credentials, reveal=reveal, now=now))
        found = (*policy.problems, *([shared[key]] if key in shared else []))
        problems |= {key: found} if found else {}
    return Rendered(objects=tuple(objects), problems=problems)


def unified_secret(
    template: SandboxTemplate, program: Program, credentials: Mapping[SecretKeyRef, str], *, reveal: bool, now: datetime
) -> Manifest:
    """`TEMPLATE-egress`: all that the sidecar of this template's pods reads."""
    plan = make_plan(program.select(template_identity(template)))
    ca = make_ca(now=now, name=f"Groyne CA of {template.metadata.name}")
    made = [make_leaf(ca, chunk, now=now) for chunk in chunk_names(plan.intercepted_names)] if plan.intercepted_names else []
    leafs = tuple(Pair(certificate=leaf.cert_pem, key=leaf.key_pem if reveal else HIDDEN) for leaf in made)
    values = dict(credentials) if reveal else dict.fromkeys(credentials, HIDDEN)
    files = dict(compile_sidecar(plan, values, leafs, SidecarOptions()).files)
    if leafs:
        files |= {"ca.crt": ca.cert_pem, "ca.key": ca.key_pem if reveal else HIDDEN, "ca-bundle.crt": bundle(ca.cert_pem)}
    data = {name: b64encode(text.encode()).decode() for name, text in files.items()} if reveal else None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{template.metadata.name}-egress", "namespace": namespace_of(template)},
        "type": "Opaque",
        **({"data": data} if data is not None else {"stringData": files}),
    }
