"""valueTemplate: the part of Go's text/template that a header with a credential needs, parsed once.

Text, `{{ .Token }}`, text literals (`{{ "…" }}` without escapes, or in back-ticks), comments, and the trim markers `{{-` and `-}}`
mean what they mean in Go. Everything else is refused: a template that renders differently elsewhere would send
a wrong credential.
"""

import re

from crds.problem import Problem
from policy.patterns import wire
from policy.program import ValueTemplate
from policy.reasons import Reason
from policy.report import quoted

_SPACE = " \t\r\n"
_ACTION = re.compile(r"\{\{(?P<left>-(?=[ \t\r\n]))?(?P<body>.*?)(?P<right>(?<=[ \t\r\n])-)?\}\}", re.DOTALL)
_COMMENT = re.compile(r"/\*.*\*/\Z", re.DOTALL)
_LITERAL = re.compile(r'"(?P<plain>[^"\\\n]*)"\Z|`(?P<raw>[^`]*)`\Z')
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_template(text: str) -> ValueTemplate | Problem:
    """Without `{{` the text is used as it stands."""
    parts: list[str | None] = []
    position, trim = 0, False
    for action in _ACTION.finditer(text):
        literal = text[position : action.start()]
        parts.append(_trimmed(literal, left=trim, right=bool(action["left"])))
        piece = _piece(action["body"].strip(_SPACE))
        if isinstance(piece, Problem):
            return piece
        parts.append(piece)
        position, trim = action.end(), bool(action["right"])
    rest = text[position:]
    if "{{" in rest:
        return _unsupported("an action is not closed: write `{{ .Token }}`")
    parts.append(_trimmed(rest, left=trim, right=False))
    return _checked(_joined(parts))


def _piece(body: str) -> str | Problem | None:
    """None is the token."""
    if body in {".Token", "$.Token"}:
        return None
    if _COMMENT.match(body):
        return ""
    if literal := _LITERAL.match(body):
        return literal["plain"] if literal["plain"] is not None else literal["raw"]
    return _unsupported(f"only `.Token` and text literals can stand between braces, not {quoted(body)}: write `{{{{ .Token }}}}`")


def _trimmed(text: str, *, left: bool, right: bool) -> str:
    text = text.lstrip(_SPACE) if left else text
    return text.rstrip(_SPACE) if right else text


def _joined(parts: list[str | None]) -> ValueTemplate:
    """Neighbouring text is one piece."""
    joined: list[str | None] = []
    for part in parts:
        if part is not None and joined and joined[-1] is not None:
            joined[-1] += wire(part)
        elif part != "":
            joined.append(part if part is None else wire(part))
    return ValueTemplate(parts=tuple(joined))


def _checked(template: ValueTemplate) -> ValueTemplate | Problem:
    if any(part is not None and _CONTROLS.search(part) for part in template.parts):
        return _invalid("a header's value holds no line break or other control character: write it on one line")
    first, last = template.parts[:1], template.parts[-1:]
    if (first and (first[0] or "x")[0] in " \t") or (last and (last[0] or "x")[-1] in " \t"):
        return _invalid("the space around a header's value is cut off on its way: remove it")
    return template


def _unsupported(message: str) -> Problem:
    return Problem(reason=Reason.UNSUPPORTED_TEMPLATE.value, message=message)


def _invalid(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_VALUE.value, message=message)
