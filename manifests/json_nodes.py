"""JSON text → documents of plain data, under the limits that YAML has.

JSON is nearly YAML, and its mistakes are placed by the YAML reader; but it is read by a JSON parser, since a `.json` file with
comments or trailing commas is no JSON, and since pairs of surrogates and escapes mean something only there. A file may hold
several objects one after the other, as kubectl allows.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from crds.problem import Problem
from manifests.yaml_nodes import MAX_DEPTH, MAX_DOCUMENT_NODES, Budget, Document, Mistake, read_documents

_BLANK = re.compile(r"[ \t\r\n]*")


class _RefusedError(Exception):
    """Why this document cannot be taken."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason)
        self.problem = Problem(reason=reason, message=message)


def read_json(text: str, budget: Budget) -> Iterator[Document]:
    """Every object of the text; after a syntax error the rest is not read."""
    start = 0
    while (begin := _end_of_blank(text, start)) < len(text):
        line = text.count("\n", 0, start) + 1
        repeated: list[str] = []
        try:
            data, end = _decoder(repeated).raw_decode(text, begin)
            _measure(data, budget)
        except json.JSONDecodeError as error:
            problem = Problem(reason="SyntaxError", message=f"not valid JSON: {error.msg}")
            yield Document(text=text[start:], line=line, mistakes=(Mistake(problem=problem, line=error.lineno, column=error.colno),))
            return
        except (_RefusedError, RecursionError, ValueError) as error:
            yield Document(text=text[start:], line=line, mistakes=(_placed(_why(error), text, begin),))
            return
        piece = text[start:end]
        yield Document(text=piece, line=line, data=data, mistakes=_duplicates(piece, line, repeated, text, begin))
        start = end


def _end_of_blank(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _decoder(repeated: list[str]) -> json.JSONDecoder:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in items:
            if key in result:
                repeated.append(key)
            result.setdefault(key, value)
        return result

    return json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_refuse_constant, parse_float=_finite)


def _refuse_constant(_text: str) -> Any:
    raise _RefusedError("SyntaxError", "not valid JSON: NaN and Infinity are no numbers")


def _finite(text: str) -> float | int:
    value = float(text)
    if math.isinf(value):
        raise _RefusedError("InvalidValue", "a number is too large")
    return int(value) if value.is_integer() and abs(value) < 2**63 else value


def _measure(data: Any, budget: Budget) -> None:
    level, depth, allowed = [data], 0, min(MAX_DOCUMENT_NODES, budget.nodes)
    while level:
        budget.nodes -= len(level)
        allowed -= len(level)
        if allowed < 0:
            raise _RefusedError("TooLarge", "more values than are read: split it, or give fewer manifests")
        if depth > MAX_DEPTH:
            raise _RefusedError("TooDeep", f"nested deeper than {MAX_DEPTH} levels")
        inner = [value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)]
        level = [value for values in inner for value in values]
        depth += 1
    budget.documents -= 1
    if budget.documents < 0:
        raise _RefusedError("TooManyDocuments", "more documents than are read: give fewer manifests")


def _why(error: Exception) -> Problem:
    if isinstance(error, _RefusedError):
        return error.problem
    if isinstance(error, RecursionError):
        return Problem(reason="TooDeep", message=f"nested deeper than {MAX_DEPTH} levels")
    return Problem(reason="InvalidValue", message="a number is too large")


def _placed(problem: Problem, text: str, at: int) -> Mistake:
    return Mistake(problem=problem, line=text.count("\n", 0, at) + 1, column=at - text.rfind("\n", 0, at))


def _duplicates(piece: str, line: int, repeated: list[str], text: str, begin: int) -> tuple[Mistake, ...]:
    """The repeated keys, where the YAML reader finds them; at the object's start where it cannot read this JSON."""
    if not repeated:
        return ()
    again = [mistake for document in read_documents(piece, Budget()) for mistake in document.mistakes]
    found = tuple(mistake for mistake in again if mistake.problem.reason == "DuplicateKey")
    if found:
        return tuple(Mistake(problem=each.problem, line=each.line + line - 1, column=each.column) for each in found)
    problem = Problem(reason="DuplicateKey", message="a key stands twice in one of the maps: remove one")
    return (_placed(problem, text, begin),)
