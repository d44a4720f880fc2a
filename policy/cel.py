"""CEL: an expression of a profile → checked once, when the profile compiles; then evaluated for each event, within bounds.

The library is Google's own (C++), which checks types, so that a mistake is told to who wrote it; whose `matches` is RE2; and
which counts loops and gives up at ten thousand steps. What it does not see `policy.cel_tokens` does. An evaluation gives a
value or raises CelFailure, nothing else, and a failure names no value: what an expression reads is the sandbox's. Nor can it be
interrupted, so that what it is given is bounded: an expression with a pattern or a loop reads no text beyond 4 KiB.
"""

import math
import re
import sys
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Literal

from crds.problem import Problem
from policy.cel_tokens import bad_pattern, read
from policy.program import CelExpression
from policy.reasons import Reason
from policy.report import quoted
from policy.variables import INT, STRING, Json, Kind, text

LONGEST = 1024
"""Characters, as in the CRD."""
DEEPEST = 32
"""Lists and maps of a result."""
LARGEST_RESULT = 64 * 1024
"""Characters, with 16 for each value."""
LONGEST_TEXT = 4096
"""Characters that a pattern or a loop may meet at once."""

_COMPLAINT = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_COSTLY = re.compile(r"\b(?:matches|all|exists|exists_one|existsOne|map|filter)\b")
_CONTAINER = " (in container '')"
_CODES = re.compile(r"[A-Z_]+(?=:)")


class CelFailure(Exception):  # noqa: N818 — what happened to an event, not a bug
    """`reason` is one of few words: absent, limit, type, failed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the expression gave no value: {reason}")
        self.reason = reason


def compile_cel(
    source: str, *, variables: Kind, result: Literal["bool", "json"], inputs: frozenset[str] | None = None
) -> CelExpression | Problem:
    """`inputs` are the names that the profile declares; None where that is not known."""
    if len(source) > LONGEST:
        return _problem(f"the expression has {len(source)} characters, {LONGEST} are allowed")
    if "\0" in source or text(source) != source:
        return _problem("the expression holds a character that is none: remove it")
    try:
        program = _program(source, variables)
    except _RefusedError as refused:
        return _problem(str(refused))
    return _judged(source, program, variables, result, inputs) or CelExpression(text=source)


def _judged(source: str, program: Any, variables: Kind, result: str, inputs: frozenset[str] | None) -> Problem | None:
    reading = read(source, variables, inputs)
    if reading.mistakes:
        return _problem(reading.mistakes[0])
    for literal in reading.patterns:
        pattern = _environment(Kind("struct")).compile(literal).eval().value()
        complaint = bad_pattern(pattern) if isinstance(pattern, str) else "a pattern is text, not bytes"
        if complaint:
            return Problem(reason=Reason.INVALID_REGEX.value, message=complaint)
    found, types = program.return_type(), _library().Type
    if result == "bool" and found != types.BOOL:
        return _problem(f"a condition is true or false, and this is {_kind_word(found)}: compare it with something")
    if result == "json" and found in (types.BYTES, types.TIMESTAMP, types.DURATION, types.TYPE):
        return _problem(f"JSON has no {_kind_word(found)}: write `string(…)` around it")
    return None


def evaluate_cel(expression: CelExpression, variables: Mapping[str, Json], kind: Kind) -> Json:
    """`kind` as it was when the expression was compiled; `variables` are its values. Raises CelFailure."""
    longest = LONGEST_TEXT if _COSTLY.search(expression.text) else sys.maxsize
    try:
        value = _program(expression.text, kind).eval(data=_activation(variables, kind, longest))
        return _Result().plain(value, DEEPEST)
    except CelFailure:
        raise
    except Exception as error:  # noqa: BLE001 — whatever the library has to say, it says with values in it
        raise CelFailure(_word(str(error))) from None


def holds(expression: CelExpression | None, variables: Mapping[str, Json], kind: Kind) -> bool:
    """A condition; none holds always."""
    if expression is None:
        return True
    found = evaluate_cel(expression, variables, kind)
    if not isinstance(found, bool):
        raise CelFailure("type")
    return found


class _RefusedError(Exception):
    """The library's complaint in our words."""


@cache
def _library() -> Any:
    """Four megabytes, for processes that have an expression."""
    from cel_expr_python import cel  # noqa: PLC0415

    return cel


@lru_cache(maxsize=8)
def _environment(variables: Kind) -> Any:
    types: dict[str, Any] = {}
    for _, name, kind in variables.fields:
        types[name] = _type(kind)
        if kind.name == "struct" and name != "response":
            # A field of a map is of any type; by its own name it has one, and a comparison with another is found.
            types.update({f"{name}.{member}": _type(each) for _, member, each in kind.fields})
    return _library().NewEnv(variables=types)


def _type(kind: Kind) -> Any:
    types = _library().Type
    if kind in (STRING, INT):
        return types.STRING if kind == STRING else types.INT
    if kind.items:
        return types.Map(types.STRING, _type(kind.items))
    each = {field for _, _, field in kind.fields}
    return types.Map(types.STRING, _type(each.pop()) if len(each) == 1 else types.DYN)


@lru_cache(maxsize=65536)
def _program(source: str, variables: Kind) -> Any:
    """Raises _RefusedError."""
    written = source
    for start, end in read(source, variables, None).constant if "has" in source else ():
        written = written[:start] + "true".ljust(end - start) + written[end:]
    try:
        return _environment(variables).compile(written)
    except Exception as error:  # noqa: BLE001 — the library has one type for all
        raise _RefusedError(_complaint(str(error))) from None


def _complaint(words: str) -> str:
    found = _COMPLAINT.search(words)
    if found is None:
        return "the expression is nested too deep, or is none" if "recursion" in words else "the expression cannot be read"
    line, column, said = found.groups()
    place = f" at line {line}, column {int(column)}" if int(line) > 1 else f" at column {int(column)}" if int(column) > 0 else ""
    return f"CEL does not accept the expression{place}: {said.partition(' expecting {')[0].removesuffix(_CONTAINER)}"


def _activation(variables: Mapping[str, Json], kind: Kind, longest: int) -> dict[str, Json]:
    data: dict[str, Json] = {}
    for _, name, each in kind.fields:
        value = data[name] = _clean(variables[name], longest)
        if each.name == "struct" and name != "response":
            data.update({f"{name}.{member}": value[member] for _, member, _ in each.fields})
    return data


def _clean(value: Json, longest: int) -> Json:
    """The library cuts text at a NUL, and breaks at half a character."""
    if isinstance(value, str):
        if len(value) > longest:
            raise CelFailure("limit")
        return text(value)
    if isinstance(value, Mapping):
        return {text(key): _clean(each, longest) for key, each in value.items()}
    return value


class _Result:
    """Not by the library's own conversion: it gives back one None too few each time, and on Python 3.11 that ends the process."""

    def __init__(self) -> None:
        self._left = LARGEST_RESULT

    def plain(self, value: Any, depth: int) -> Json:
        kind, types = value.type(), _library().Type
        if kind in (types.ERROR, types.UNKNOWN):
            raise CelFailure(_word(str(value.value())))
        self._spend(16)
        if depth == 0:
            raise CelFailure("limit")
        if kind == types.NULL:
            return None
        if kind == types.LIST:
            return [self.plain(each, depth - 1) for each in value.value()]
        if kind == types.MAP:
            found = {_key(key): each for key, each in value.value().items()}
            self._spend(sum(map(len, found)))
            return {key: self.plain(found[key], depth - 1) for key in sorted(found)}
        scalar = _scalar(value.value())
        self._spend(len(scalar) if isinstance(scalar, str) else 0)
        return scalar

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise CelFailure("limit")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise CelFailure("type")
    return key


def _scalar(found: Any) -> Json:
    if not isinstance(found, bool | int | float | str) or (isinstance(found, float) and not math.isfinite(found)):
        raise CelFailure("type")
    return found


def _word(said: str) -> str:
    code = _CODES.match(said)
    if "budget" in said or "limit" in said:
        return "limit"
    return {"NOT_FOUND": "absent", "INVALID_ARGUMENT": "type"}.get(code[0] if code else "", "failed")


def _kind_word(kind: Any) -> str:
    words = {
        "BOOL": "true or false",
        "DYN": "of any type",
        "STRING": "text",
        "BYTES": "bytes",
        "TIMESTAMP": "timestamp",
        "DURATION": "duration",
    }
    name = str(kind)
    return words.get(name, quoted(name.lower()))


def _problem(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_EXPRESSION.value, message=message)
