"""What every compile function answers: the manifest that is wanted, or none, and what is to be said about it.

Owner, labels and names of the objects that belong to a template stand here, because all of them share these.
"""

from dataclasses import dataclass
from typing import Any

from crds.annotations import OUR_LABELS
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from policy.template_identity import namespace_of

Manifest = dict[str, Any]

LABELS = OUR_LABELS
LONGEST_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """`manifest` None: there should be no such object."""

    manifest: Manifest | None = None
    problems: tuple[Problem, ...] = ()


def name_too_long(template: SandboxTemplate, suffix: str) -> Problem | None:
    room = LONGEST_NAME - len(suffix)
    if len(template.metadata.name) <= room:
        return None
    message = f"its objects are named after it, ending in `{suffix}`: choose a name of at most {room} characters"
    return Problem(reason="NameTooLong", message=message, field="metadata.name")


def metadata(template: SandboxTemplate, suffix: str, annotations: dict[str, str] | None = None) -> Manifest:
    return {
        "name": template.metadata.name + suffix,
        "namespace": namespace_of(template),
        "labels": dict(LABELS),
        **({"annotations": annotations} if annotations else {}),
        **owner(template),
    }


def owner(template: SandboxTemplate) -> Manifest:
    """In the version in which the template is read: in one that is not served the garbage collector would not find it.

    A template in a file has no UID, and an owner without one would be refused.
    """
    if template.metadata.uid is None:
        return {}
    reference = {
        "apiVersion": template.api_version,
        "kind": "SandboxTemplate",
        "name": template.metadata.name,
        "uid": template.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"ownerReferences": [reference]}
