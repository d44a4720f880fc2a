"""What is published of the kinds that we read, found in a directory: manifests in YAML files and in Markdown, and the kinds' own CRDs.

In comes a directory, ours beside this file or a checkout of somebody else's, out go files with their documents. What is no manifest, or
a template of one, is passed over.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

Raw = dict[str, Any]
KINDS = {
    "SandboxTemplate": "extensions.agents.x-k8s.io",
    "SecurityProfile": "agents.kruise.io",
    "GlobalSecurityProfile": "agents.kruise.io",
}
_FENCED = re.compile(r"^```ya?ml\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One file and what of it is ours to read: documents of `KINDS`, and in our own files whatever stands beside them."""

    name: str
    documents: tuple[Raw, ...]


def publications(root: Path, *, everything: bool) -> list[Publication]:
    """`everything`: with documents of other kinds too."""
    found = []
    for path in sorted([*root.rglob("*.yaml"), *root.rglob("*.yml"), *root.rglob("*.md")]):
        documents = tuple(each for each in _documents(path) if everything or ours(each))
        if any(ours(each) for each in documents):
            found.append(Publication(name=str(path.relative_to(root)), documents=documents))
    return found


def crds(root: Path) -> dict[str, Raw]:
    """By kind. Of several the one with the most versions, which is the newest, and of these the one that lies least deep."""
    found: dict[str, Raw] = {}
    for path in sorted(root.rglob("*.yaml"), key=lambda path: (len(path.parts), str(path))):
        for each in _documents(path):
            spec = each.get("spec") or {}
            kind = (spec.get("names") or {}).get("kind", "")
            if each.get("kind") == "CustomResourceDefinition" and KINDS.get(kind) == spec.get("group"):
                known = found.get(kind)
                if not known or len(known["spec"]["versions"]) < len(spec["versions"]):
                    found[kind] = each
    return found


def in_both_versions(definition: Raw) -> Raw:
    """Of SandboxTemplate: ours knows the present version alone. The one before has a field less, and means the same."""
    older = copy.deepcopy(definition["spec"]["versions"][0]) | {"name": "v1alpha1", "storage": False}
    del older["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["volumeClaimTemplatesPolicy"]
    return definition | {"spec": definition["spec"] | {"versions": [*definition["spec"]["versions"], older]}}


def ours(document: Raw) -> bool:
    return KINDS.get(str(document.get("kind")), "?") == str(document.get("apiVersion")).partition("/")[0]


def _documents(path: Path) -> Iterator[Raw]:
    text = path.read_text(encoding="utf-8", errors="replace")
    for part in _FENCED.findall(text) if path.suffix == ".md" else [text]:
        yield from [each for each in _read(part) if isinstance(each, dict)]


def _read(text: str) -> list[Any]:
    """By the quick parser, or by the one that knows YAML 1.2: a flow mapping may hold `image: name:1` there."""
    for pure in (False, True):
        try:
            return list(YAML(typ="safe", pure=pure).load_all(text))
        except YAMLError:
            continue
    return []
