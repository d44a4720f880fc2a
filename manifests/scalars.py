"""What a plain YAML scalar means, read as kubectl reads it.

kubectl turns YAML into JSON by rules that are neither YAML 1.1 nor 1.2: `yes`, `on` and `y` are booleans, `0777` is 511 and
`1e3` is 1000, yet dates and `1:30` stay text. A manifest must mean the same here as in a cluster, so these rules are repeated,
surprises included; the most surprising ones are told apart (`is_ambiguous`) for a warning.
"""

import math
import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"), False),
}
_PLAIN_WORDS = frozenset(("", "~", "null", "Null", "NULL", "true", "True", "TRUE", "false", "False", "FALSE"))
_NOT_FINITE = frozenset(
    sign + word for word in (".inf", ".Inf", ".INF") for sign in ("", "+", "-")
) | {".nan", ".NaN", ".NAN"}  # fmt: skip
_STARTS = frozenset("yYnNtTfFoO~+-.0123456789")
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|[0-9]+)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"[-+]?0[0-7_]*[0-7]")
_MIN_INT, _MAX_INT, _MAX_UNSIGNED = -(2**63), 2**63 - 1, 2**64 - 1


class NotFiniteError(ValueError):
    """`.inf` and `.nan`: JSON, and so Kubernetes, has no such numbers."""


def resolve(text: str) -> Scalar:
    """The value of a plain, untagged scalar."""
    if text and text[0] not in _STARTS:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text in _NOT_FINITE:
        raise NotFiniteError
    number = _number(text)
    return text if number is None else number


def is_ambiguous(text: str) -> bool:
    """Whether many people would read this plain scalar as text, or as another number, than kubectl does."""
    return (text in _WORDS and text not in _PLAIN_WORDS) or _OCTAL.fullmatch(text) is not None


def key_text(value: Scalar) -> str | None:
    """A mapping key as JSON spells it; None for null, which is no key."""
    match value:
        case None | str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case _:
            return str(value)


def _number(text: str) -> int | float | None:
    # Underscores are passed over, except in numbers that begin with a dot.
    digits = text if text[0] == "." else text.replace("_", "")
    integer = _integer(digits)
    if integer is not None:
        return integer
    if _FLOAT.fullmatch(digits) is None:
        return None
    value = float(digits)
    if math.isinf(value):
        return None
    return int(value) if value.is_integer() and _MIN_INT <= value <= _MAX_INT else value


def _integer(digits: str) -> int | None:
    if _INTEGER.fullmatch(digits) is None or len(digits) > 70:
        return None
    body = digits.lstrip("+-").lower()
    base = {"0x": 16, "0b": 2, "0o": 8}.get(body[:2], 8 if body[0] == "0" and len(body) > 1 else 10)
    try:
        value = int(digits, base)
    except ValueError:  # 08 is no octal number
        return None
    largest = _MAX_INT if digits[0] in "+-" else _MAX_UNSIGNED
    return value if _MIN_INT <= value <= largest else None
