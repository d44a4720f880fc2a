"""Events of `events.k8s.io/v1` as the API server takes them: lengths kept, names valid, whatever the object they are about holds.

What makes two occurrences the same is `Saying`; the rest of an Event is when and by whom. It does no I/O and knows no clock.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from kube.moments import micro_time
from kube.objects import Key, Raw, Resource, key_of, uid_of

EVENTS = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
EventType = Literal["Normal", "Warning"]
LONGEST_NOTE = 1024
LONGEST_WORD = 128
LONGEST_BASE = 200
"""Of 253 characters of a name; the rest is for what makes it unique."""
CUT = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """The API bounds these fields in bytes; they are cut when this is made by `saying`."""

    api_version: str
    kind: str
    regarding: Key
    uid: str
    type: EventType
    reason: str
    action: str
    note: str

    @property
    def namespace(self) -> str:
        """What lies in no namespace has its Events in `default`, as the API server demands."""
        return self.regarding.namespace or "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """`component` is a qualified name, e.g. `groyne.dev/controller`; `instance` says which process."""

    component: str
    instance: str


def saying(about: Mapping[str, Any], *, kind: EventType, reason: str, action: str, note: str) -> Saying:
    return Saying(
        api_version=_text(about.get("apiVersion")),
        kind=_text(about.get("kind")),
        regarding=key_of(about),
        uid=uid_of(about),
        type=kind,
        reason=cut(reason, LONGEST_WORD),
        action=cut(action, LONGEST_WORD),
        note=cut(note, LONGEST_NOTE),
    )


def event(what: Saying, name: str, by: Reporter, *, at: datetime, series: Raw | None) -> Raw:
    named = {"apiVersion": what.api_version, "kind": what.kind, "name": what.regarding.name, "uid": what.uid}
    regarding = named | ({"namespace": what.regarding.namespace} if what.regarding.namespace else {})
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": name, "namespace": what.namespace},
        "eventTime": micro_time(at),
        "reportingController": by.component,
        "reportingInstance": cut(by.instance, LONGEST_WORD),
        "type": what.type,
        "reason": what.reason,
        "action": what.action,
        "note": what.note,
        "regarding": regarding,
        **({"series": series} if series else {}),
    }


def series_of(count: int, last: datetime) -> Raw:
    return {"count": count, "lastObservedTime": micro_time(last)}


def name_of(what: Saying, by: Reporter, at: datetime) -> str:
    """The same Event has the same name, so that a POST whose answer was lost makes no second one."""
    digest = hashlib.sha256(repr((what, by, at)).encode()).hexdigest()[:16]
    base = re.sub(r"[^a-z0-9.-]", "-", what.regarding.name.lower())[:LONGEST_BASE]
    base = re.sub(r"-*\.[-.]*", ".", base).strip("-.")
    return f"{base or 'event'}.{digest}"


def cut(text: str, most: int) -> str:
    """At most so many bytes, whole characters, and a mark where something is missing."""
    data = text.encode(errors="replace")
    if len(data) <= most:
        return data.decode()
    return data[: most - len(CUT.encode())].decode(errors="ignore") + CUT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
