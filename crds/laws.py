"""Rules between the fields of one object, each said once: for Python and for the API server's CEL.

A law looks at the raw dict, nulls already removed, and names the places where it is broken; it must bear any shape below,
because types are judged elsewhere and a wrong type must not hide a broken law. `cel` is the same rule for the CRD; it
tests presence with `has()` before it reads, since reading an absent field is an error in CEL.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crds.paths import Part
from crds.reasons import Reason

Raw = Mapping[str, Any]
Place = tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """`broken` yields the place of every breach, relative to the object; an empty place is the object itself."""

    reason: Reason
    message: str
    cel: str
    broken: Callable[[Raw], Iterable[Place]]


def exactly_one(*fields: str) -> Law:
    """One of the fields must be there, and no second one."""
    return Law(
        reason=Reason.CONFLICT,
        message=f"exactly one of {_listed(fields, 'and')} must be set",
        cel=f"{_count(fields)} == 1",
        broken=lambda raw: () if sum(field in raw for field in fields) == 1 else ((),),
    )


def at_most_one(*fields: str) -> Law:
    """The fields exclude each other."""
    return Law(
        reason=Reason.CONFLICT,
        message=f"only one of {_listed(fields, 'and')} may be set: remove the others",
        cel=f"{_count(fields)} <= 1",
        broken=lambda raw: () if sum(field in raw for field in fields) <= 1 else ((),),
    )


def needs(field: str, *, when: Callable[[Raw], bool], unless_cel: str, because: str) -> Law:
    """`field` must be there when the raw object says so; `unless_cel` is true where it need not be."""
    return Law(
        reason=Reason.MISSING_FIELD,
        message=f"`{field}` is missing: {because}",
        cel=f"{unless_cel} || has(self.{field})",
        broken=lambda raw: ((field,),) if when(raw) and field not in raw else (),
    )


def entries(raw: Raw, field: str) -> list[Any]:
    """The list under `field`; nothing where there is no list."""
    value = raw.get(field)
    return list(value) if isinstance(value, list | tuple) else []


def _count(fields: tuple[str, ...]) -> str:
    return " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in fields)


def _listed(fields: tuple[str, ...], word: str) -> str:
    quoted = [f"`{field}`" for field in fields]
    return f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"
