"""The CustomResourceDefinitions of our kinds, made from the models, as data and as YAML.

SandboxTemplate's CRD is its owner's and is not made here. `python -m crds generate` writes the files under `kustomize/crds`;
`python -m crds check` compares them, so that a model never says what the cluster does not know.
"""

from dataclasses import dataclass
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from crds.base import Model
from crds.conditions import ProfileStatus
from crds.security_profile import GROUP, VERSION, GlobalSecurityProfile, GlobalSecurityProfileSpec, SecurityProfile, SecurityProfileSpec
from crds.structural import Schema, structural

HEADER = "# Made by `python -m crds generate` from the models in crds/. Change those, not this file.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """How one kind is named and shown; its schema comes from the models."""

    model: type[Model]
    spec: type[Model]
    plural: str
    short_names: tuple[str, ...]
    scope: str

    @property
    def name(self) -> str:
        return f"{self.plural}.{GROUP}"

    @property
    def file_name(self) -> str:
        return f"{GROUP}_{self.plural}.yaml"


DEFINITIONS = (
    Definition(
        model=SecurityProfile,
        spec=SecurityProfileSpec,
        plural="securityprofiles",
        short_names=("sp", "secprof"),
        scope="Namespaced",
    ),
    Definition(
        model=GlobalSecurityProfile,
        spec=GlobalSecurityProfileSpec,
        plural="globalsecurityprofiles",
        short_names=("gsp", "gsecprof"),
        scope="Cluster",
    ),
)


def definition(kind: Definition) -> dict[str, Any]:
    """The CustomResourceDefinition as data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name},
        "spec": {
            "group": GROUP,
            "names": _names(kind),
            "scope": kind.scope,
            "versions": [_version(kind)],
        },
    }


def files() -> dict[str, str]:
    """Every generated file's name and text, the kustomization that lists them included."""
    texts = {kind.file_name: to_yaml(definition(kind)) for kind in DEFINITIONS}
    listing = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": sorted(texts)}
    return {**texts, "kustomization.yaml": to_yaml(listing)}


def to_yaml(data: dict[str, Any]) -> str:
    """Data as YAML text, the same on every machine."""
    writer = YAML()
    writer.width = 4096
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.representer.ignore_aliases = lambda _data: True
    text = StringIO()
    writer.dump(data, text)
    return HEADER + text.getvalue()


def _names(kind: Definition) -> dict[str, Any]:
    name = kind.model.__name__
    return {
        "categories": ["groyne"],
        "kind": name,
        "listKind": f"{name}List",
        "plural": kind.plural,
        "shortNames": list(kind.short_names),
        "singular": name.lower(),
    }


def _version(kind: Definition) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {"openAPIV3Schema": _root(kind)},
    }


def _root(kind: Definition) -> Schema:
    """`metadata` is judged by the API server alone; `spec` is required, since a profile without selector means nothing."""
    return {
        "description": kind.model.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "The version of the schema that the object is written in.", "type": "string"},
            "kind": {"description": "What the object is.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec),
            "status": structural(ProfileStatus),
        },
    }


def _columns() -> list[dict[str, Any]]:
    return [
        _condition_column("Accepted", "Accepted", "status"),
        _condition_column("Programmed", "Programmed", "status"),
        {"name": "Priority", "type": "integer", "jsonPath": ".spec.priority", "description": "Lower is evaluated earlier."},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {**_condition_column("Reason", "Accepted", "reason"), "priority": 1},
        {**_condition_column("Message", "Accepted", "message"), "priority": 1},
    ]


def _condition_column(name: str, condition: str, field: str) -> dict[str, Any]:
    return {"name": name, "type": "string", "jsonPath": f'.status.conditions[?(@.type=="{condition}")].{field}'}
