"""What users write: Pydantic models of the kinds, and the CRD YAML that is generated from them.

A raw object (a dict out of YAML or JSON) goes into `parse`; a frozen model and the user's mistakes come out:

    kinds.parse      which kind it is, its model, its annotations
    base, laws       how a model reads a dict: null is absent, unknown fields are named, rules between fields hold
    errors           Pydantic's findings in plain words, as Problems with field paths
    schema           the same models as CustomResourceDefinitions (`python -m crds generate|check`)

Whatever schema and CEL can say lives here. What a field *means* is `policy`'s business; nothing here does I/O.
"""

from crds import annotations
from crds.core import ConfigMap, ObjectMeta, Secret
from crds.kinds import Object, Parsed, parse
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from crds.security_profile import GlobalSecurityProfile, SecurityProfile

__all__ = [
    "ConfigMap",
    "GlobalSecurityProfile",
    "Object",
    "ObjectMeta",
    "Parsed",
    "Problem",
    "SandboxTemplate",
    "Secret",
    "SecurityProfile",
    "annotations",
    "parse",
]
