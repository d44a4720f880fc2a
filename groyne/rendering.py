"""The Kubernetes objects that templates in manifests imply, as `groyne render` shows them: what a controller would write.

Pure: templates, the program and credential values in, manifests and problems out. Values of Secrets are `***` unless asked for.
A CA is made for the occasion where the template has none of its own, as a controller does when it first sees the template.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from controller.compile.output import Manifest
from controller.compile.secret import CONTENT_HASH, UnifiedSecret
from controller.compile.template import Cluster, TemplateOutput, compile_template, select
from crds import annotations
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import load_ca
from policy.program import Program, SecretKeyRef
from policy.references import withhold
from policy.template_hashes import collisions
from policy.template_identity import namespace_of

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """`problems` by (namespace, name) of the template that they concern; their fields are the template's."""

    objects: tuple[Manifest, ...] = ()
    problems: Mapping[Key, tuple[Problem, ...]] = field(default_factory=dict)


def implied_objects(
    templates: Iterable[SandboxTemplate],
    program: Program,
    credentials: Mapping[SecretKeyRef, str],
    *,
    reveal: bool,
    now: datetime,
    refused: Mapping[str, Problem] | None = None,
    own_cas: Mapping[Key, KeyPair] | None = None,
    cluster: Cluster | None = None,
) -> Rendered:
    """In order of namespace and name. `refused` are ids of rules whose credential its owner does not let go.

    `own_cas` holds, by template, CAs that profiles' annotations name; a template's own annotation is looked up in `credentials`,
    under the keys `tls.crt` and `tls.key`.
    """
    ordered = sorted(templates, key=key_of)
    problems: dict[Key, tuple[Problem, ...]] = {key: (problem,) for key, problem in collisions(map(key_of, ordered)).items()}
    objects: list[Manifest] = []
    for template in ordered:
        own_ca = (own_cas or {}).get(key_of(template)) or annotated_ca(template, credentials, now)
        usable = own_ca if isinstance(own_ca, KeyPair) else None
        selection = withhold(select(template, program), refused or {})
        output = compile_template(template, selection, credentials, now=now, cluster=cluster or Cluster(), own_ca=usable)
        found = (*problems.get(key_of(template), ()), *([own_ca] if isinstance(own_ca, Problem) else []), *output.problems)
        if isinstance(own_ca, Problem) and output.plan.intercepted_names:
            output = TemplateOutput(plan=output.plan, policies=output.policies)
        if found:
            problems[key_of(template)] = found
        objects.extend(manifests(output, reveal=reveal))
    return Rendered(objects=tuple(objects), problems=dict(sorted(problems.items())))


def key_of(template: SandboxTemplate) -> Key:
    return namespace_of(template), template.metadata.name


def manifests(output: TemplateOutput, *, reveal: bool) -> Iterator[Manifest]:
    yield from output.policies
    for secret in (output.secret, output.ca):
        if secret is not None:
            yield shown(secret, reveal=reveal)


def shown(secret: UnifiedSecret, *, reveal: bool) -> Manifest:
    """A hash of values that may be guessed is left out with them."""
    manifest = secret.manifest(reveal=reveal)
    if reveal:
        return manifest
    kept = {name: text for name, text in manifest["metadata"].get("annotations", {}).items() if name != CONTENT_HASH}
    head = {name: value for name, value in manifest["metadata"].items() if name != "annotations"}
    return {**manifest, "metadata": {**head, **({"annotations": kept} if kept else {})}}


def annotated_ca(template: SandboxTemplate, credentials: Mapping[SecretKeyRef, str], now: datetime) -> KeyPair | Problem | None:
    name = annotations.read(template.metadata.annotations).ca_secret
    if name is None:
        return None
    namespace = namespace_of(template)
    certificate, key = (credentials.get(SecretKeyRef(namespace=namespace, name=name, key=part)) for part in ("tls.crt", "tls.key"))
    field_path = f'metadata.annotations["{annotations.CA_SECRET}"]'
    if certificate is None or key is None:
        message = f"the CA Secret {namespace}/{name} with keys tls.crt and tls.key is not here: nothing can be intercepted with it"
        return Problem(reason="SecretNotFound", message=message, field=field_path, fatal=False)
    loaded = load_ca(certificate, key, now=now)
    return loaded.below(field_path) if isinstance(loaded, Problem) else loaded
