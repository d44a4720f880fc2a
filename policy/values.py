"""Values that a profile computes from the request: text as it stands, a CEL expression, or a Go template.

In: the models of `crds`; out: `ValueSource`s of the program, or a problem with its place. And their values for one request: what
is computed for a credential provider reads what is known before the request goes on.
"""

from collections.abc import Mapping

from crds import credentials
from crds.problem import Problem
from policy.cel import CelFailure, compile_cel, evaluate_cel
from policy.go_templates import TemplateFailure, parse_go_template, render
from policy.program import CelExpression, GoTemplate, ValueSource
from policy.report import Report
from policy.variables import BEFORE, Json

LIMIT = 64 * 1024
"""Bytes that a template may give."""


class ValueFailure(Exception):  # noqa: N818 — what happened to a request, not a bug
    """`parameter` has no value for this request; `reason` is one of few words."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"parameter {parameter} has no value: {reason}")
        self.parameter = parameter
        self.reason = reason


def compile_values(
    parameters: Mapping[str, credentials.ValueSource], report: Report, inputs: frozenset[str]
) -> tuple[tuple[str, ValueSource], ...]:
    """In order of name; a value with a problem is left out. `inputs` are the names that the profile declares."""
    compiled = ((name, _compiled(parameters[name], report.at(name), inputs)) for name in sorted(parameters))
    return tuple((name, value) for name, value in compiled if value is not None)


def _compiled(source: credentials.ValueSource, report: Report, inputs: frozenset[str]) -> ValueSource | None:
    if source.cel is not None:
        found: ValueSource | Problem = compile_cel(source.cel, variables=BEFORE, result="json", inputs=inputs)
        place = report.at("cel")
    elif source.template is not None:
        found, place = parse_go_template(source.template, fields=BEFORE, inputs=inputs), report.at("template")
    else:
        return source.value
    if isinstance(found, Problem):
        place.add(found)
        return None
    return found


def computed(parameters: tuple[tuple[str, ValueSource], ...], variables: Mapping[str, Json]) -> dict[str, Json]:
    """`variables` are those of `variables.before`. Raises ValueFailure."""
    found: dict[str, Json] = {}
    for name, source in parameters:
        try:
            found[name] = _value(source, variables)
        except (CelFailure, TemplateFailure) as failure:
            raise ValueFailure(name, failure.reason) from None
    return found


def _value(source: ValueSource, variables: Mapping[str, Json]) -> Json:
    match source:
        case CelExpression():
            return evaluate_cel(source, variables, BEFORE)
        case GoTemplate():
            return render(source, variables, BEFORE, limit=LIMIT)
        case _:
            return source
