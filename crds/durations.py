"""Go's duration syntax, as Kubernetes writes it: `2s`, `500ms`, `1m30s`, `1.5s`."""

import re
from fractions import Fraction

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = 64


def seconds(text: str) -> Fraction | None:
    """The duration in seconds, exactly; None where the text is none."""
    body = text[1:] if text[:1] in {"+", "-"} else text
    if body == "0":
        return Fraction(0)
    if len(text) > _LONGEST or not body or _PIECE.sub("", body):
        return None
    total = sum((Fraction(_digits(piece[1])) * _UNITS[piece[2]] for piece in _PIECE.finditer(body)), Fraction(0))
    return -total if text.startswith("-") else total


def _digits(number: str) -> str:
    whole, _, part = number.partition(".")
    return f"{whole or '0'}.{part or '0'}"


def audit_timeout(text: str) -> str | None:
    """What is wrong with an audit webhook's timeout, or None."""
    value = seconds(text)
    if value is None:
        return "write a duration such as `2s`, `500ms` or `1.5s`"
    if not Fraction(1, 2) <= value <= 30:
        return "the timeout must be between 500ms and 30s"
    return None
