"""Which CA signs this run's leafs: the one that an annotation names, or a fresh one.

A CA that is named and cannot be used stops a run, because falling back to another would surprise; `check` says so beforehand.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from crds import Problem
from crds.annotations import CA_SECRET, read
from crds.paths import render
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import ca_warnings, load_ca
from groyne.credentials import Values
from groyne.trust import Trust
from groyne.workspace import Workspace
from manifests.located import LocatedProblem

CERTIFICATE, KEY = "tls.crt", "tls.key"


def trust_of(workspace: Workspace, now: datetime) -> Trust:
    """Raises ValueError, fit for the user, where the named CA cannot be used."""
    named = own_ca(workspace)
    if named is None:
        return Trust.fresh(now)
    pair = load_own_ca(workspace.values, *named, now)
    if isinstance(pair, Problem):
        raise ValueError(pair.message)
    return Trust(ca=pair, named=named)


def own_ca(workspace: Workspace) -> tuple[str, str] | None:
    """Namespace and name of the first one named: by the selected profiles in their order, then by the template."""
    manifests = workspace.manifests
    for profile in workspace.selection.profiles:
        loaded = manifests.profiles.get((profile.ref.namespace, profile.ref.name))
        if loaded and (name := read(loaded.object.metadata.annotations).ca_secret):
            return profile.ref.namespace or workspace.selection.identity.namespace, name
    if workspace.template and (name := read(workspace.template.metadata.annotations).ca_secret):
        return workspace.selection.identity.namespace, name
    return None


def other_ca(workspace: Workspace, used: Trust) -> str:
    """What to say of an edited policy that asks for another CA than the one in use; empty where it does not."""
    named = own_ca(workspace)
    if named == used.named:
        return ""
    asked = f"the CA in Secret {'/'.join(named)}" if named else "a CA made for the run, since none is named"
    return f"the policy asks for {asked} now: that takes effect at the next start, and this run goes on with the CA that it started with"


def load_own_ca(values: Values, namespace: str, name: str, now: datetime) -> KeyPair | Problem:
    """The CA in this Secret, or why it is none."""
    texts = []
    for key in (CERTIFICATE, KEY):
        value = values.read(namespace, name, key)
        if isinstance(value, Problem):
            return replace(value, message=f"the CA Secret {namespace}/{name}: {value.message}", field="")
        texts.append(value.decode("utf-8", "replace"))
    pair = load_ca(texts[0], texts[1], now=now)
    if isinstance(pair, Problem):
        return replace(pair, message=f"the CA Secret {namespace}/{name}: {pair.message}", field="")
    return pair


def ca_problems(workspace: Workspace, now: datetime) -> Iterator[LocatedProblem]:
    """What is wrong with every CA that a namespaced object here names, at the annotation; a run would not start with it."""
    for loaded in (*workspace.manifests.profiles.values(), *workspace.manifests.templates.values()):
        name = read(loaded.object.metadata.annotations).ca_secret
        if name is None or not loaded.namespace:
            continue
        pair = load_own_ca(workspace.values, loaded.namespace, name, now)
        found = (pair,) if isinstance(pair, Problem) else ca_warnings(pair)
        place = render(("metadata", "annotations", CA_SECRET))
        yield from (loaded.locate(replace(problem, field=place, fatal=isinstance(pair, Problem))) for problem in found)
