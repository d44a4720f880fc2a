r"""What a user wrote as a value or a pattern → the bytes that a request would carry, or a problem that says the remedy.

Manifests are UTF-8 and so are the values that clients send: a value becomes its UTF-8 bytes, held as Latin-1 text. A
regular expression works on bytes, where one such character is several, so it must spell them (`\xC3\xA9`).
"""

import re

import re2

from crds.problem import Problem
from policy.paths import is_ambiguous, normalised_path
from policy.reasons import Reason
from policy.report import quoted
from policy.strings import MatchKind, StringMatch, compiled

MAX_PROGRAM_SIZE = 8192
"""RE2 instructions; the longest pattern that the API allows needs less, unless it counts repetitions."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def wire(text: str) -> str:
    """The text's UTF-8 bytes as Latin-1 text."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1")


def shown(latin1: str) -> str:
    """The inverse, for messages."""
    return latin1.encode("latin-1").decode("utf-8", "replace")


def string_match(kind: str, value: str) -> StringMatch | Problem:
    """A condition on a header's or a parameter's value; `kind` as the API spells it."""
    if kind == "Regex":
        return regex(value)
    if _CONTROLS.search(value):
        return _invalid("no request carries a control character here: remove it")
    return StringMatch(kind=MatchKind(kind.lower()), value=wire(value))


def header_match(kind: str, value: str) -> StringMatch | Problem:
    """Also refuses what no header's value can be, since the space around it is cut off."""
    if kind != "Regex" and (value[:1] in " \t" or (kind == "Exact" and value[-1:] in " \t")):
        return _invalid("the space around a header's value is cut off before it is compared: remove it")
    return string_match(kind, value)


def path_match(kind: str, value: str) -> StringMatch | Problem:
    match = string_match(kind, value)
    if isinstance(match, Problem) or kind == "Regex":
        return match
    remedy = _never(match.value, prefix=kind == "Prefix")
    if remedy is None:
        return match
    return Problem(reason=Reason.INVALID_PATH.value, message=f"{quoted(value)} can match no path: {remedy}")


def regex(pattern: str) -> StringMatch | Problem:
    if not pattern.isascii():
        spelled = "".join(c if c.isascii() else "".join(rf"\x{byte:02X}" for byte in c.encode("utf-8", "surrogatepass")) for c in pattern)
        return _bad_regex(f"a regular expression works on bytes: spell other characters than ASCII as such, {quoted(spelled)}")
    match = StringMatch(kind=MatchKind.REGEX, value=pattern)
    try:
        size = compiled(pattern).programsize
        if r"\Q" in pattern:
            compiled(match.full_pattern)
    except re2.error as error:
        return _bad_regex(f"RE2 does not accept {quoted(pattern)}: {_complaint(error)}")
    if size > MAX_PROGRAM_SIZE:
        return _bad_regex(f"the expression grows to {size} steps, {MAX_PROGRAM_SIZE} are allowed: count fewer repetitions")
    return match


def _complaint(error: Exception) -> str:
    """RE2's own words; they show the wrapped pattern where only that fails: a quotation is open."""
    text = error.args[0] if error.args else b""
    words = text.decode("latin-1") if isinstance(text, bytes) else str(text)
    return r"close `\Q` with `\E`" if r"\C*(?:" in words else words


def _never(path: str, *, prefix: bool) -> str | None:
    """Why no normalised path equals it or starts with it, and what to write; None where one may."""
    if not path.startswith("/"):
        return f"a path starts with `/`: write {quoted('/' + shown(path))}"
    if cut := re.search(r"[?#]", path):
        what = "the query is no part of the path, use `queryParams` for it" if cut[0] == "?" else "no request carries a fragment"
        return f"{what}: write {quoted(shown(path[: cut.start()]))}"
    more = "x" if prefix else ""
    normal = normalised_path(path + more)
    if normal is None:
        return "an escaped NUL is refused before any rule"
    if normal == path + more and not is_ambiguous(normal):
        return None
    if is_ambiguous(normal):
        return "such a path is refused before any rule"
    return f"paths are normalised before they are compared: write {quoted(normal.removesuffix(more) or '/')}"


def _invalid(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_VALUE.value, message=message)


def _bad_regex(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_REGEX.value, message=message)
