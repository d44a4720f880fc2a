"""`groyne render`: what a run or the controller would write, as files to read and to compare.

`envoy/` holds the local proxy's configuration, `kubernetes/` the objects that the manifests imply. Values and private keys are
`***` unless asked for; then the files are readable by their owner alone.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from controller.compile.template import select
from crds import SandboxTemplate
from crds.annotations import read as read_annotations
from dataplane.clusters import ROOTS_FILE
from dataplane.compile import Options, Pair, compile_envoy, make_plan
from dataplane.listeners import DnsCache
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.secrets import Layout
from groyne import clock, output
from groyne.credentials import refused
from groyne.external import beside, needed
from groyne.own_ca import CERTIFICATE, KEY, trust_of
from groyne.rendering import implied_objects
from groyne.rundir import replace_file
from groyne.trust import NO_HOST, bundles
from groyne.workspace import Workspace
from groyne.yaml_text import yaml_text
from policy.program import SecretKeyRef
from policy.references import secret_refs
from policy.template_identity import namespace_of

Manifest = Mapping[str, Any]
HIDDEN = "***"
LISTEN = {"socket_address": {"address": "127.0.0.1", "port_value": 15080}}


class RenderError(Exception):
    """Why nothing was written; the message is fit for the user."""


def render_to(workspace: Workspace, out: Path, *, reveal: bool) -> list[str]:
    """Writes below `out` and returns the names of the files. Raises RenderError or OSError."""
    files = {**envoy_files(workspace, out, reveal=reveal), **kubernetes_files(workspace, reveal=reveal)}
    mode = 0o600 if reveal else 0o644
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode(), mode)
    return sorted(files)


def envoy_files(workspace: Workspace, out: Path, *, reveal: bool) -> dict[str, str]:
    """Envoy can be started on them as they are, where values were asked for: `envoy -c OUT/envoy/bootstrap.json`."""
    directory = (out / "envoy").absolute()
    options = Options(
        layout=Layout(directory=str(directory)),
        address=LISTEN,
        admin_socket=str(directory / "admin.sock"),
        dns=DnsCache(refused=NOT_PUBLIC_RANGES),
        external=beside(directory, workspace) if needed(workspace.selection) else None,
    )
    plan = make_plan(workspace.selection, workspace.template_passthrough)
    try:
        trust = trust_of(workspace, clock.now())
    except ValueError as error:
        raise RenderError(str(error)) from error
    leafs = trust.leafs(plan.intercepted_names or NO_HOST, clock.now())
    credentials: Mapping[SecretKeyRef, str] = workspace.credentials.values
    if not reveal:
        leafs = tuple(Pair(certificate=leaf.certificate, key=HIDDEN) for leaf in leafs)
        credentials = dict.fromkeys(credentials, HIDDEN)
    files = dict(compile_envoy(plan, credentials, leafs, options).files)
    made = bundles(trust.ca, client_files={}, upstream_ca=None)
    return {f"envoy/{name}": text for name, text in {**files, ROOTS_FILE: made.upstream, "ca.pem": made.ca}.items()}


def kubernetes_files(workspace: Workspace, *, reveal: bool) -> dict[str, str]:
    templates = [loaded.object for loaded in workspace.manifests.templates.values()]
    values, refused_rules = dict(authorities(workspace, templates)), {}
    for template in templates:
        for use in secret_refs(select(template, workspace.program)):
            problem, value = refused(workspace.manifests, use), workspace.values.of(use.ref)
            if problem is not None:
                refused_rules[use.rule.id] = problem
            elif isinstance(value, str):
                values[use.ref] = value
    rendered = implied_objects(templates, workspace.program, values, reveal=reveal, now=clock.now(), refused=refused_rules)
    for (namespace, name), problems in rendered.problems.items():
        loaded = workspace.manifests.templates[namespace, name]
        output.print_problems((loaded.locate(problem) for problem in problems), output.errors())
    return {f"kubernetes/{file_name(manifest)}": text for manifest, text in with_text(rendered.objects)}


def authorities(workspace: Workspace, templates: Iterable[SandboxTemplate]) -> Iterable[tuple[SecretKeyRef, str]]:
    """Certificate and key of the CAs that templates name for themselves."""
    for template in templates:
        name = read_annotations(template.metadata.annotations).ca_secret
        for key in (CERTIFICATE, KEY) if name else ():
            value = workspace.values.read(namespace_of(template), name or "", key)
            if isinstance(value, bytes):
                yield SecretKeyRef(namespace=namespace_of(template), name=name or "", key=key), value.decode("utf-8", "replace")


def with_text(objects: Iterable[Manifest]) -> Iterable[tuple[Manifest, str]]:
    return ((manifest, yaml_text(manifest)) for manifest in objects)


def file_name(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{metadata.get('namespace', 'default')}-{metadata['name']}-{manifest['kind'].lower()}.yaml"
