"""Values that a profile computes from the request: text as it stands, a CEL expression, or a Go template.

In: the models of `crds`. Out: `ValueSource`s of the program, or a problem with its place. What is computed for a credential
provider reads what is known before the request goes on: no result, no answer.
"""

from collections.abc import Mapping

from crds import credentials
from crds.problem import Problem
from policy.cel import compile_cel
from policy.go_templates import parse_go_template
from policy.program import ValueSource
from policy.report import Report
from policy.variables import BEFORE


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
