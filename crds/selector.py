"""LabelSelector as Kubernetes has it. What it selects is `policy`'s business; here only its shape and syntax are judged."""

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from crds.base import Model
from crds.fields import LabelKey, Labels, LabelValue, Str
from crds.laws import Law, Place, Raw, entries
from crds.reasons import Reason

_SETS = ("In", "NotIn")
_ALONE = ("Exists", "DoesNotExist")

ATOMIC = {"x-kubernetes-list-type": "atomic"}


def _operator_unknown(raw: Raw) -> tuple[Place, ...]:
    operator = raw.get("operator")
    return (("operator",),) if isinstance(operator, str) and operator not in _SETS + _ALONE else ()


def _values_missing(raw: Raw) -> tuple[Place, ...]:
    return (("values",),) if raw.get("operator") in _SETS and not entries(raw, "values") else ()


def _values_extra(raw: Raw) -> tuple[Place, ...]:
    return (("values",),) if raw.get("operator") in _ALONE and entries(raw, "values") else ()


class LabelSelectorRequirement(Model):
    """One requirement on a label."""

    laws: ClassVar[tuple[Law, ...]] = (
        Law(
            reason=Reason.INVALID_ENUM,
            message="`operator` must be one of In, NotIn, Exists, DoesNotExist",
            cel="self.operator in ['In', 'NotIn', 'Exists', 'DoesNotExist']",
            broken=_operator_unknown,
        ),
        Law(
            reason=Reason.MISSING_FIELD,
            message="`values` needs at least one entry when the operator is In or NotIn",
            cel="!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)",
            broken=_values_missing,
        ),
        Law(
            reason=Reason.CONFLICT,
            message="`values` must be empty when the operator is Exists or DoesNotExist",
            cel="!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0",
            broken=_values_extra,
        ),
    )

    key: LabelKey
    """The label's key."""
    operator: Str
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[tuple[LabelValue, ...], Field(json_schema_extra=ATOMIC)] = ()
    """What the label's value is compared with; only for In and NotIn."""


def _atomic(schema: dict[str, Any]) -> None:
    schema["x-kubernetes-map-type"] = "atomic"


class LabelSelector(Model):
    """Which pods are meant. All requirements must hold; none selects every pod in scope."""

    model_config = ConfigDict(json_schema_extra=_atomic)

    match_labels: Labels = Field(default_factory=dict)
    """Labels that a pod must have with exactly these values."""
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(json_schema_extra=ATOMIC)] = ()
    """Requirements on labels, all of which must hold."""
