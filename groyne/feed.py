"""What ext-proc is told of a workspace: the objects that are in force, as one file of manifests.

In: a workspace. Out: JSON text. It is not the user's directory itself: a profile that an edit broke is there as it was before, a
value that a Secret only names a source of is there as it was read, and of Secrets nothing is there that no rule may use. So
ext-proc, started anew at any time, decides as Envoy does. Secrets stand in it: the file lies where Envoy's lie.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from crds.annotations import VALUE_FROM
from groyne.workspace import Workspace
from manifests.load import Name
from policy.program import SecretKeyRef

FILE = "objects.json"
Raw = dict[str, Any]


def feed(workspace: Workspace) -> str:
    items = [
        *(raw for _, raw in sorted(workspace.sources.items())),
        *secrets(workspace),
        *(loaded.raw for _, loaded in sorted(workspace.manifests.config_maps.items())),
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, separators=(",", ":"))


def secrets(workspace: Workspace) -> Iterator[Raw]:
    """Values that rules of this selection use, with the annotations that say which rules may."""
    for (namespace, name), data in sorted(values_by_secret(workspace.credentials.values).items()):
        loaded = workspace.manifests.secrets.get((namespace, name))
        annotations = loaded.object.metadata.annotations if loaded else {}
        kept = {key: text for key, text in annotations.items() if not key.startswith(VALUE_FROM)}
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace, "annotations": kept},
            "data": data,
        }


def values_by_secret(values: Mapping[SecretKeyRef, str]) -> dict[Name, dict[str, str]]:
    found: dict[Name, dict[str, str]] = defaultdict(dict)
    for ref, value in values.items():
        found[ref.namespace or "", ref.name][ref.key] = base64.b64encode(value.encode("latin-1")).decode("ascii")
    return found
