"""Every profile's own view: `check` judges the credentials of all profiles, also of those that no given identity selects."""

from collections.abc import Iterator, Mapping

from groyne.credentials import Credentials, resolve_credentials
from groyne.workspace import Workspace
from policy.program import Identity, Selection


def every_selection(workspace: Workspace, environ: Mapping[str, str]) -> Iterator[tuple[Selection, Credentials]]:
    """One selection for each namespace, as if all its profiles and the Global ones held. Sources of values are asked once at most."""
    namespaces = {profile.ref.namespace for profile in workspace.program.profiles if profile.ref.namespace}
    for namespace in sorted(namespaces) or [workspace.selection.identity.namespace]:
        profiles = tuple(profile for profile in workspace.program.profiles if profile.ref.namespace in ("", namespace))
        selection = Selection(profiles=profiles, identity=Identity(namespace=namespace))
        yield selection, resolve_credentials(workspace.manifests, workspace.program, selection, environ, workspace.values)
