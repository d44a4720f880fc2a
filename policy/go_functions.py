"""The functions of Go templates: what each takes and gives, and its value, as in Go (`eq`, `index`, `len`, …) or as sprig has it.

`default A B` is B, or A where B is empty; `json` writes as Go's encoding/json does, with fields in the catalogue's order, keys of maps
sorted, and `<`, `>`, `&` escaped. Kinds are judged once; at a request only values that Go would fail at too raise TemplateFailure.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from policy.go_lexer import TemplateMistake
from policy.report import quoted
from policy.variables import BOOL, INT, STRING, Json, Kind, text

MIXED = Kind("value of this or that kind")
_ZERO: dict[str, Json] = {"string": "", "int": 0, "bool": False, "map": {}, "list": [], "struct": {}}
Values = Mapping[str, Json]


class TemplateFailure(Exception):  # noqa: N818 — what happened to an event, not a bug
    """`reason` is one of few words: absent, limit, failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the template gave no text: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Term:
    """A value to come. `roots` are the variables that it reads, by CEL's names; `constant` is a literal's text."""

    kind: Kind
    value: Callable[[Values], Json]
    roots: frozenset[str] = frozenset()
    constant: str | None = None

    @classmethod
    def literal(cls, kind: Kind, value: Json) -> "Term":
        return cls(kind, lambda _: value, constant=value if isinstance(value, str) else None)


def truth(kind: Kind, value: Json) -> bool:
    return kind.name == "struct" or bool(value)


def field_of(term: Term, name: str, inputs: frozenset[str] | None) -> Term:
    if term.kind.name == "map" and term.kind.items:
        _declared(term, name, inputs)
        return Term(term.kind.items, lambda values: _entry(term.value(values), name), term.roots)
    found = term.kind.field(name)
    if found is None:
        raise TemplateMistake(_no_field(term.kind, name))
    key, kind = found
    zero = _ZERO[kind.name]
    return Term(kind, lambda values: _clean(term.value(values).get(key, zero)), term.roots or frozenset({key}))


def _no_field(kind: Kind, name: str) -> str:
    if not kind.fields:
        return f"a {kind.name} has no field {quoted('.' + name)}"
    return f"there is no field {quoted('.' + name)}: there are {', '.join('.' + go for go, _, _ in kind.fields)}"


def _declared(term: Term, name: str, inputs: frozenset[str] | None) -> None:
    if term.kind.items and term.kind.items.name == "map" and inputs is not None and name not in inputs:
        declared = f"it declares {', '.join(sorted(inputs))}" if inputs else "it declares none"
        raise TemplateMistake(f"the profile has no input {quoted(name)}: {declared}")


def _entry(found: Json, key: str) -> Json:
    if key not in found:
        raise TemplateFailure("absent")
    return _clean(found[key])


def _clean(value: Json) -> Json:
    return text(value) if isinstance(value, str) else value


def _roots(*terms: Term) -> frozenset[str]:
    return frozenset().union(*(term.roots for term in terms))


def _index(container: Term, *keys: Term, inputs: frozenset[str] | None = None) -> Term:
    for key in keys:
        container = _indexed(container, key, inputs)
    return container


def _indexed(container: Term, key: Term, inputs: frozenset[str] | None) -> Term:
    items, roots = container.kind.items, _roots(container, key)
    if items is None:
        raise TemplateMistake(f"`index` looks into a map or a list, and this is a {container.kind.name}")
    wanted = STRING if container.kind.name == "map" else INT
    if key.kind != wanted:
        raise TemplateMistake(f"a {container.kind.name} is looked into with a {wanted.name}, not with a {key.kind.name}")
    if key.constant is not None:
        _declared(container, key.constant, inputs)
    zero = _ZERO[items.name]
    if container.kind.name == "map":
        return Term(items, lambda values: _clean(container.value(values).get(key.value(values), zero)), roots)
    return Term(items, lambda values: _at(container.value(values), key.value(values)), roots)


def _at(found: Json, number: int) -> Json:
    if not 0 <= number < len(found):
        raise TemplateFailure("absent")
    return _clean(found[number])


def _default(fallback: Term, value: Term) -> Term:
    if fallback.kind != value.kind:
        raise TemplateMistake(f"`default` gives a {fallback.kind.name} or a {value.kind.name}: let both be of one kind")

    def given(values: Values) -> Json:
        otherwise, found = fallback.value(values), value.value(values)
        return found if truth(value.kind, found) else otherwise

    return Term(value.kind, given, _roots(fallback, value))


def _json(value: Term) -> Term:
    if value.kind == MIXED:
        raise TemplateMistake("`json` needs a value whose kind is known")
    return Term(STRING, lambda values: go_json(value.value(values), value.kind), value.roots)


def go_json(value: Json, kind: Kind) -> str:
    written = json.dumps(_ordered(value, kind), ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


def _ordered(value: Json, kind: Kind) -> Json:
    if kind.fields:
        return {name: _ordered(value.get(name, _ZERO[each.name]), each) for _, name, each in kind.fields}
    if kind.name == "map" and kind.items:
        return {text(key): _ordered(value[key], kind.items) for key in sorted(value)}
    return [_clean(each) for each in value] if kind.name == "list" else _clean(value)


def _comparable(name: str, kinds: tuple[Kind, ...], *terms: Term) -> None:
    for term in terms:
        if term.kind not in kinds:
            raise TemplateMistake(f"`{name}` compares {', '.join(kind.name for kind in kinds)}, and this is a {term.kind.name}")
        if term.kind != terms[0].kind:
            raise TemplateMistake(f"`{name}` compares values of one kind, not a {terms[0].kind.name} with a {term.kind.name}")


def _eq(first: Term, *others: Term) -> Term:
    _comparable("eq", (STRING, INT, BOOL), first, *others)

    def equal(values: Values) -> bool:
        wanted = first.value(values)
        return any([other.value(values) == wanted for other in others])  # noqa: C419 — Go computes every argument, too

    return Term(BOOL, equal, _roots(first, *others))


def _compare(name: str, holds: Callable[[Any, Any], bool], kinds: tuple[Kind, ...]) -> Callable[[Term, Term], Term]:
    def make(left: Term, right: Term) -> Term:
        _comparable(name, kinds, left, right)
        return Term(BOOL, lambda values: holds(left.value(values), right.value(values)), _roots(left, right))

    return make


def _ordering(name: str, holds: Callable[[Any, Any], bool]) -> Callable[[Term, Term], Term]:
    """Of text by its bytes, which is by its characters' numbers."""
    return _compare(name, holds, (STRING, INT))


def _choose(*, stop: bool) -> Callable[..., Term]:
    """`or` gives the first that is true, `and` the first that is not; else the last. Later ones are not computed."""

    def make(*terms: Term) -> Term:
        def chosen(values: Values) -> Json:
            found = None
            for term in terms:
                found = term.value(values)
                if truth(term.kind, found) is stop:
                    break
            return found

        kinds = {term.kind for term in terms}
        if len(kinds) > 1 and any(kind.name in {"struct", MIXED.name} for kind in kinds):
            raise TemplateMistake("`and` and `or` take a struct or mixed kinds no further: compare or name a field")
        return Term(terms[0].kind if len(kinds) == 1 else MIXED, chosen, _roots(*terms))

    return make


def _not(term: Term) -> Term:
    return Term(BOOL, lambda values: not truth(term.kind, term.value(values)), term.roots)


def _len(term: Term) -> Term:
    if term.kind.name not in {"string", "map", "list"}:
        raise TemplateMistake(f"`len` counts a text's bytes, a map or a list, and this is a {term.kind.name}")
    if term.kind == STRING:
        return Term(INT, lambda values: len(term.value(values).encode()), term.roots)
    return Term(INT, lambda values: len(term.value(values)), term.roots)


def _urlquery(term: Term) -> Term:
    if term.kind != STRING:
        raise TemplateMistake(f"`urlquery` takes text, and this is a {term.kind.name}")
    return Term(STRING, lambda values: quote_plus(term.value(values), safe=""), term.roots)


@dataclass(frozen=True, slots=True)
class Function:
    make: Callable[..., Term]
    least: int
    most: int
    knows_inputs: bool = field(default=False, kw_only=True)


FUNCTIONS: Mapping[str, Function] = {
    "and": Function(_choose(stop=False), 1, 16),
    "or": Function(_choose(stop=True), 1, 16),
    "not": Function(_not, 1, 1),
    "eq": Function(_eq, 2, 16),
    "ne": Function(_compare("ne", lambda a, b: a != b, (STRING, INT, BOOL)), 2, 2),
    "lt": Function(_ordering("lt", lambda a, b: a < b), 2, 2),
    "le": Function(_ordering("le", lambda a, b: a <= b), 2, 2),
    "gt": Function(_ordering("gt", lambda a, b: a > b), 2, 2),
    "ge": Function(_ordering("ge", lambda a, b: a >= b), 2, 2),
    "index": Function(_index, 2, 3, knows_inputs=True),
    "len": Function(_len, 1, 1),
    "default": Function(_default, 2, 2),
    "json": Function(_json, 1, 1),
    "urlquery": Function(_urlquery, 1, 1),
}
