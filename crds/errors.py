"""Pydantic's findings in plain words: validation error in, Problems out.

A message says what to do and never repeats the value: it may be a Secret's. What a value *is* (a number, a list) may be said.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from crds.fields import REMEDIES
from crds.nearest import nearest
from crds.paths import Part, render
from crds.problem import Problem
from crds.reasons import Reason

_MOST = 1000

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "`true` or `false`",
    "dict_type": "a map (`key: value`)",
    "model_type": "a map (`key: value`)",
    "model_attributes_type": "a map (`key: value`)",
    "tuple_type": "a list (each entry after a `-`)",
    "invalid_key": "a map whose keys are text",
}


Place = tuple[Part, ...]


def problems(error: ValidationError, parent: str = "", shown: Callable[[Place], Place] = tuple) -> tuple[Problem, ...]:
    """One Problem per finding, in the order of the fields; a flood is cut short. `shown` takes from a place what nobody may read."""
    lines = [line for line in error.errors(include_url=False) if not _follows_from_others(line)]
    found = tuple(dict.fromkeys(_problems(lines[:_MOST], shown)))
    if len(lines) > _MOST:
        text = f"{len(lines) - _MOST} more problems are not shown: correct these first"
        found = (*found, Problem(reason=Reason.TOO_MANY_PROBLEMS.value, message=text))
    return tuple(problem.below(parent) if parent else problem for problem in found)


def _problems(lines: list[Any], shown: Callable[[Place], Place]) -> Iterator[Problem]:
    for line in lines:
        reason, message = _explain(line["type"], line.get("ctx", {}), line["input"])
        yield Problem(reason=reason.value, message=message, field=render(shown(_place(line["loc"]))))


def _follows_from_others(line: Any) -> bool:
    """Pydantic counts a list's good entries only: with one bad entry, a list of one is said to be too short as well."""
    value = line["input"]
    return line["type"] == "too_short" and isinstance(value, list | tuple) and len(value) >= line["ctx"]["min_length"]


def _place(loc: Place) -> Place:
    return tuple(part for part in loc if part != "[key]")


def _explain(kind: str, context: dict[str, Any], value: Any) -> tuple[Reason, str]:
    if kind in set(Reason):
        return Reason(kind), str(context["text"])
    if kind in _EXPECTED:
        return Reason.INVALID_TYPE, _wrong_type(kind, value)
    if kind in _EXPLANATIONS:
        return _EXPLANATIONS[kind](context, value)
    return Reason.INVALID_VALUE, "this value cannot be read here"


def _wrong_type(kind: str, value: Any) -> str:
    if value is None:
        return f"must be {_EXPECTED[kind]}, but nothing is written here"
    if isinstance(value, float) and kind in {"int_type", "int_from_float"}:
        return "must be a whole number: write it without a point or an exponent"
    text = f"must be {_EXPECTED[kind]}, not {_described(value)}"
    if kind == "string_type" and isinstance(value, int | float):
        return f"{text}: put it in quotes"
    if kind in {"int_type", "bool_type"} and isinstance(value, str):
        return f"{text}: remove the quotes"
    return text


def _described(value: Any) -> str:
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (dict, "a map"),
        ((list, tuple), "a list"),
    )
    return next((name for kinds, name in names if isinstance(value, kinds)), "something else")


def _missing(_context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    return Reason.MISSING_FIELD, "this field is required: add it"


def _pattern(context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    return Reason.INVALID_VALUE, REMEDIES.get(context["pattern"], "this value has a character that is not allowed here")


def _enum(context: dict[str, Any], value: Any) -> tuple[Reason, str]:
    expected = str(context["expected"])
    allowed = [word.strip(" '") for word in expected.replace(" or ", ", ").split(", ") if word != "''"]
    best = nearest(value, allowed) if isinstance(value, str) else None
    hint = f": did you mean {best}?" if best else ""
    text = f"must be one of {', '.join(allowed)}" if len(allowed) > 1 else f"must be {allowed[0]}"
    return Reason.INVALID_ENUM, f"{text}{hint}"


def _text_too_short(context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    short = context["min_length"]
    return Reason.INVALID_VALUE, "must not be empty" if short == 1 else f"must have at least {short} characters"


def _text_too_long(context: dict[str, Any], value: Any) -> tuple[Reason, str]:
    return Reason.TOO_LONG, f"may have {context['max_length']} characters, has {len(value)}: shorten it"


def _list_too_short(context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    short = context["min_length"]
    return Reason.TOO_FEW, "needs at least one entry" if short == 1 else f"needs at least {short} entries"


def _list_too_long(context: dict[str, Any], value: Any) -> tuple[Reason, str]:
    return Reason.TOO_LONG, f"may have {context['max_length']} entries, has {len(value)}: remove some"


def _too_small(context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    return Reason.INVALID_VALUE, f"must be {context['ge']} or more"


def _too_big(context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    return Reason.INVALID_VALUE, f"must be {context['le']} or less"


def _not_text(_context: dict[str, Any], _value: Any) -> tuple[Reason, str]:
    return Reason.INVALID_VALUE, "has characters that are not valid Unicode"


_EXPLANATIONS: dict[str, Callable[[dict[str, Any], Any], tuple[Reason, str]]] = {
    "missing": _missing,
    "string_pattern_mismatch": _pattern,
    "literal_error": _enum,
    "string_too_short": _text_too_short,
    "string_too_long": _text_too_long,
    "too_short": _list_too_short,
    "too_long": _list_too_long,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_big,
    "string_unicode": _not_text,
}
