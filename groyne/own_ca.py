"""Which CA signs this run's leafs: the one that an annotation names, or a fresh one."""

from datetime import datetime

from crds import Problem
from crds.annotations import read
from dataplane.certificates import load_ca
from groyne.trust import Trust
from groyne.workspace import Workspace


def trust_of(workspace: Workspace, now: datetime) -> Trust:
    """Raises ValueError, fit for the user, where the named CA cannot be used: falling back to another would surprise."""
    named = own_ca(workspace)
    if named is None:
        return Trust.fresh(now)
    namespace, name = named
    loaded = workspace.manifests.secrets.get((namespace, name))
    if loaded is None:
        raise ValueError(f"the CA Secret {namespace}/{name} that groyne.dev/ca-secret names is not here")
    values = loaded.object.values
    try:
        pair = load_ca(values["tls.crt"].decode(), values["tls.key"].decode(), now=now)
    except (KeyError, UnicodeDecodeError):
        raise ValueError(f"the CA Secret {namespace}/{name} needs PEM under tls.crt and tls.key") from None
    if isinstance(pair, Problem):
        raise ValueError(f"the CA Secret {namespace}/{name}: {pair.message}")
    return Trust(ca=pair)


def own_ca(workspace: Workspace) -> tuple[str, str] | None:
    """The first one named: by the selected profiles in their order, then by the template."""
    manifests = workspace.manifests
    for profile in workspace.selection.profiles:
        loaded = manifests.profiles.get((profile.ref.namespace, profile.ref.name))
        if loaded and (name := read(loaded.object.metadata.annotations).ca_secret):
            return profile.ref.namespace or workspace.selection.identity.namespace, name
    if workspace.template and (name := read(workspace.template.metadata.annotations).ca_secret):
        return workspace.selection.identity.namespace, name
    return None
