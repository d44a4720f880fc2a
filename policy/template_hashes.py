"""The hash by which a template, its pods and its policy find each other: 32-bit FNV-1a of the template's name.

It is agent-sandbox's choice and so is its shortness: two templates of one namespace can share a hash, and then each pod
gets both policies. `collisions` finds them, so that somebody is told.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from crds.problem import Problem

HASH_LABEL = "agents.x-k8s.io/sandbox-template-ref-hash"

_OFFSET = 0x811C9DC5
_PRIME = 0x01000193
_MASK = 0xFFFFFFFF


def name_hash(name: str) -> str:
    value = _OFFSET
    for byte in name.encode():
        value = ((value ^ byte) * _PRIME) & _MASK
    return f"{value:08x}"


def pod_selector(template_name: str) -> dict[str, dict[str, str]]:
    return {"matchLabels": {HASH_LABEL: name_hash(template_name)}}


def collisions(templates: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], Problem]:
    """By (namespace, name): every template that shares its hash with another one of its namespace."""
    sharing: dict[tuple[str, str], set[str]] = defaultdict(set)
    for namespace, name in templates:
        sharing[namespace, name_hash(name)].add(name)
    return {
        (namespace, name): _shared(name, names)
        for (namespace, _), names in sharing.items()
        if len(names) > 1
        for name in sorted(names)
    }  # fmt: skip


def _shared(name: str, names: set[str]) -> Problem:
    others = ", ".join(sorted(names - {name}))
    message = f"its name has the same hash as {others}, so pods of each get the NetworkPolicies of all: rename one"
    return Problem(reason="HashCollision", message=message, field="metadata.name", fatal=False)
