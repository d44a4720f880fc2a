"""Which objects a list or watch of the server in memory is about: namespace, labels (`=`, `!=`, in, notin, exists), name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kube.objects import Key, Raw, key_of, labels
from unit_tests.kube.fake_storage import RefusedError

REQUIREMENT = re.compile(r"^(?P<no>!)?(?P<key>[^\s!=(),]+)\s*(?:(?P<op>=|==|!=|\bin\b|\bnotin\b)\s*(?P<value>\(.*\)|[^\s=(),]*))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""

    @classmethod
    def of(cls, namespace: str, params: Mapping[str, str]) -> "Selection":
        return cls(namespace=namespace, label_selector=params.get("labelSelector", ""), field_selector=params.get("fieldSelector", ""))

    def holds(self, raw: Raw) -> bool:
        key, found = key_of(raw), labels(raw)
        inside = not self.namespace or key.namespace == self.namespace
        return (
            inside
            and self._fields_hold(key)
            and all(_holds(part, found) for part in re.split(r",(?![^(]*\))", self.label_selector) if part)
        )

    def _fields_hold(self, key: Key) -> bool:
        for part in filter(None, self.field_selector.split(",")):
            name, _, value = part.partition("=")
            if name not in ("metadata.name", "metadata.namespace"):
                raise RefusedError(400, "BadRequest", f"field label not supported: {name}")
            if getattr(key, name.removeprefix("metadata.")) != value.removeprefix("="):
                return False
        return True


def _holds(part: str, found: Mapping[str, str]) -> bool:
    match = REQUIREMENT.match(part.strip())
    if match is None:
        raise RefusedError(400, "BadRequest", f"unable to parse requirement: {part}")
    value = found.get(match["key"])
    if match["op"] is None:
        return (value is None) if match["no"] else (value is not None)
    named = {each.strip() for each in match["value"].strip("()").split(",")}
    return (value not in named) if match["op"] in ("!=", "notin") else (value in named)
