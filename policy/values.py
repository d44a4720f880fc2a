"""Values that a profile computes from the request: text as it stands, a CEL expression, or a Go template.

In: the models of `crds`. Out: `ValueSource`s of the program, or a problem with its place. Which variables an expression may
read is the caller's to say.
"""

from collections.abc import Mapping

from crds import credentials
from policy.program import ValueSource
from policy.reasons import Reason
from policy.report import Report


def compile_values(parameters: Mapping[str, credentials.ValueSource], report: Report) -> tuple[tuple[str, ValueSource], ...]:
    """In order of name; a value with a problem is left out."""
    compiled = ((name, _value(parameters[name], report.at(name))) for name in sorted(parameters))
    return tuple((name, value) for name, value in compiled if value is not None)


def _value(source: credentials.ValueSource, report: Report) -> ValueSource | None:
    if source.value is not None:
        return source.value
    report.fatal(Reason.ENGINE_UNAVAILABLE, "only `value` can be used here")
    return None
