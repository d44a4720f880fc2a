"""What a provider is told besides who asks: literal values, CEL and templates over the request, all or nothing."""

from collections.abc import Mapping
from typing import Any

from policy.cel import CelFailure, evaluate_cel
from policy.go_templates import TemplateFailure, render
from policy.program import CelExpression, ProviderRef, ValueSource
from policy.variables import BEFORE

LONGEST = 8192
"""Characters of a rendered template."""


class Unknowable(Exception):  # noqa: N818 - a failure of the rule, not a bug
    """A parameter has no value for this request. Names the parameter, and nothing of what was read."""


def parameters(provider: ProviderRef, variables: Mapping[str, Any]) -> dict[str, Any]:
    """`variables` are those of `policy.variables.before`. Raises Unknowable."""
    return {name: value(name, source, variables) for name, source in provider.parameters}


def value(name: str, source: ValueSource, variables: Mapping[str, Any]) -> Any:
    try:
        if isinstance(source, CelExpression):
            return evaluate_cel(source, variables, BEFORE)
        return source if isinstance(source, str) else render(source, variables, BEFORE, limit=LONGEST)
    except (CelFailure, TemplateFailure):
        raise Unknowable(name) from None
