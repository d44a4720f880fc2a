"""Everything that one template implies, from its manifest and the program: the flow of this folder in one function.

The unified Secret exists where at least one profile selects the template. Whether its owner lets a credential go was decided
before: what is not among `credentials` has no value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from controller.compile.ca_secret import ca_secret
from controller.compile.groyne_policy import Endpoint, groyne_policy
from controller.compile.material import NOTHING_BEFORE, Before, Material, material
from controller.compile.network_policy import network_policy
from controller.compile.output import Manifest
from controller.compile.secret import SecretOutput, UnifiedSecret, unified_secret
from controller.compile.workload_secrets import Issuing, client_files, template_id
from crds import annotations
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from dataplane.certificate_parts import KeyPair
from dataplane.compile import Plan, make_plan
from dataplane.sidecar import SidecarOptions, asks, compile_sidecar
from policy.domains import DomainPattern, parse_domain
from policy.program import Program, SecretKeyRef, Selection
from policy.template_identity import template_identity

NOT_SIGNED = Problem(
    reason="ExtProcNotTrusted",
    message="the authority for ext-proc is not there yet, or cannot be had: see the Events and the log of the controller",
)
"""Its sidecars would have no certificate to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the operator and the cluster decide, the same for all templates."""

    extra_excluded: Sequence[str] = ()
    sidecar: SidecarOptions = field(default_factory=SidecarOptions)
    ext_proc: Endpoint = field(default_factory=Endpoint)
    issuing: Issuing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateOutput:
    """`policies` are NetworkPolicies. `plan` says what is intercepted and why. `ca` is the Secret of the CA's own."""

    plan: Plan
    policies: tuple[Manifest, ...] = ()
    secret: UnifiedSecret | None = None
    ca: UnifiedSecret | None = None
    problems: tuple[Problem, ...] = ()


def compile_template(
    template: SandboxTemplate,
    selection: Selection,
    credentials: Mapping[SecretKeyRef, str],
    *,
    now: datetime,
    cluster: Cluster,
    own_ca: KeyPair | None = None,
    before: Before = NOTHING_BEFORE,
) -> TemplateOutput:
    """`selection` is `select(template, program)`, perhaps with references withheld; `before` what its Secrets held."""
    plan = make_plan(selection, passthrough(template))
    own = network_policy(template, extra_excluded=cluster.extra_excluded)
    added = groyne_policy(template, selection, cluster.ext_proc)
    made = certificates(template, plan, now=now, own_ca=own_ca, before=before)
    client = external_client(plan, template, cluster.issuing, before, now)
    secret, authority = egress_secret(template, plan, credentials, made, cluster, client), ca_secret(template, made)
    return TemplateOutput(
        plan=plan,
        policies=tuple(found.manifest for found in (own, added) if found.manifest),
        secret=None if authority.problems else secret.secret,
        ca=authority.secret,
        problems=tuple(dict.fromkeys((*own.problems, *added.problems, *secret.problems, *authority.problems))),
    )


def select(template: SandboxTemplate, program: Program) -> Selection:
    return program.select(template_identity(template))


def certificates(template: SandboxTemplate, plan: Plan, *, now: datetime, own_ca: KeyPair | None, before: Before) -> Material:
    if not plan.selection.profiles:
        return Material()
    name = f"Groyne CA of {plan.selection.identity.namespace}/{template.metadata.name}"
    return material(plan.intercepted_names, ca_name=name, own_ca=own_ca, before=before, now=now)


def external_client(
    plan: Plan, template: SandboxTemplate, issuing: Issuing | None, before: Before, now: datetime
) -> Mapping[str, str] | Problem:
    """By which its sidecars are known to ext-proc, where they have to ask it and nobody else gives them a certificate."""
    if issuing is None or not asks(plan):
        return {}
    if issuing.authorities is None:
        return NOT_SIGNED
    identity = template_id(issuing.trust_domain, plan.selection.identity.namespace, template.metadata.name)
    return client_files(issuing.authorities, identity, before.client, now=now)


def egress_secret(
    template: SandboxTemplate,
    plan: Plan,
    credentials: Mapping[SecretKeyRef, str],
    made: Material,
    cluster: Cluster,
    client: Mapping[str, str] | Problem,
) -> SecretOutput:
    if not plan.selection.profiles:
        return SecretOutput()
    if isinstance(client, Problem):
        return SecretOutput(problems=(client,))
    configuration = compile_sidecar(plan, credentials, made.pairs, cluster.sidecar)
    return unified_secret(template, replace(configuration, files={**configuration.files, **client}), made)


def passthrough(template: SandboxTemplate) -> tuple[DomainPattern, ...]:
    """Hosts that the template's annotation leaves end-to-end."""
    texts = annotations.read(template.metadata.annotations).passthrough_domains
    return tuple(domain for text in texts if isinstance(domain := parse_domain(text), DomainPattern))
