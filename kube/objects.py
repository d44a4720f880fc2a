"""Raw API objects stay dicts under one alias; here is what the machinery must know of them, and how the API spells a resource.

Everything reads defensively: an object that bypassed admission may hold anything under any field but its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Raw = dict[str, Any]


class Key(NamedTuple):
    """Names an object of a known resource. `namespace` is empty for what lies in none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind as the API server serves it, e.g. `networking.k8s.io/v1`, `networkpolicies`."""

    group: str = ""
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path below the server's root. Without `namespace`, a namespaced resource means all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{tail}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def metadata(raw: Mapping[str, Any]) -> Raw:
    found = raw.get("metadata")
    return found if isinstance(found, dict) else {}


def key_of(raw: Mapping[str, Any]) -> Key:
    head = metadata(raw)
    return Key(_text(head.get("namespace")), _text(head.get("name")))


def uid_of(raw: Mapping[str, Any]) -> str:
    return _text(metadata(raw).get("uid"))


def resource_version(raw: Mapping[str, Any]) -> str:
    """Opaque: it is compared for equality, sent back, and ordered by `older` alone."""
    return _text(metadata(raw).get("resourceVersion"))


def older(version: str, than: str) -> bool:
    """Whether it is known to be the earlier one of two resourceVersions: those that are no numbers have no order."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)


def generation(raw: Mapping[str, Any]) -> int | None:
    found = metadata(raw).get("generation")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def labels(raw: Mapping[str, Any]) -> dict[str, str]:
    return _texts(metadata(raw).get("labels"))


def annotations(raw: Mapping[str, Any]) -> dict[str, str]:
    return _texts(metadata(raw).get("annotations"))


def deleting(raw: Mapping[str, Any]) -> bool:
    return metadata(raw).get("deletionTimestamp") is not None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}
