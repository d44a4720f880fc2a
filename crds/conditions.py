"""Status of our kinds: conditions as Kubernetes has them, and the reasons that we give.

Whoever writes a status takes types and reasons from here; they are part of the interface, people write alerts on them.
"""

from enum import StrEnum
from typing import Annotated, Literal

from annotated_types import Ge, MaxLen, MinLen
from pydantic import Field

from crds.base import Tolerant
from crds.fields import Int64, Keyed, Str

_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_TYPE = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"


class ConditionType(StrEnum):
    """What a profile's status speaks of."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"


class ConditionReason(StrEnum):
    """Why a condition is as it is. A profile that does not compile has its first problem's reason under Accepted."""

    ACCEPTED = "Accepted"
    INVALID = "Invalid"
    ORDER_SENSITIVE = "OrderSensitive"

    RESOLVED_REFS = "ResolvedRefs"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105 — a reason, no secret
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"  # noqa: S105
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
    REF_NOT_GRANTED = "RefNotGranted"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    NAMESPACE_NOT_OPTED_IN = "NamespaceNotOptedIn"

    DISTRIBUTED = "Distributed"
    NOT_ACCEPTED = "NotAccepted"
    PENDING = "Pending"


class Condition(Tolerant):
    """One aspect of an object's state."""

    type: Annotated[Str, MaxLen(316), Field(pattern=_TYPE)]
    """Which aspect this is."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    observed_generation: Annotated[Int64, Ge(0)] | None = None
    """The metadata.generation that this was said of."""
    last_transition_time: Annotated[Str, Field(json_schema_extra={"format": "date-time"})]
    """When `status` last changed."""
    reason: Annotated[Str, MinLen(1), MaxLen(1024), Field(pattern=_REASON)]
    """Why, as one CamelCase word."""
    message: Annotated[Str, MaxLen(32768)]
    """Why, as a sentence."""


class ProfileStatus(Tolerant):
    """What is known of a profile."""

    observed_generation: Int64 | None = None
    """The metadata.generation that the status speaks of."""
    conditions: Annotated[tuple[Condition, ...], Keyed("type")] = ()
    """Accepted: the spec is valid. ResolvedRefs: what it refers to is there. Programmed: it is distributed."""

    def condition(self, kind: ConditionType) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)
