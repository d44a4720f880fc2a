r"""One spelling for each path: what Envoy makes of a request's path before anything looks at it, and then forwards.

Envoy removes dot segments, also escaped ones and those with parameters (`..;x`), turns `\` into `/`, decodes the escapes
of letters, digits and `-_~.`, escapes what no URL may hold, and merges slashes; hex digits keep their case. Here the same
is said in Python and compared with the real one by tests. Paths come without their query and start with `/`.
What stays ambiguous after that is named by the two patterns below, which Envoy is given as well.
"""

import re

AMBIGUOUS_PATH = r"//|\C*/\.{1,2};\C*"
"""RE2, a full match on the normalised path: what Envoy leaves undone, and some servers then do.

It merges slashes, but nothing but slashes stays `//`; it removes dot segments with parameters, but not escaped ones.
"""

ESCAPED_SLASH = r"\C*(?:%2[fF]|%5[cC])\C*"
"""RE2, a full match on the normalised path."""

AMBIGUOUS_ESCAPED = (
    r"\C*(?:"
    r"(?:%2[fF]|%5[cC])\.{0,2}(?:/|%2[fF]|%5[cC])\C*"
    r"|/\.{0,2}(?:%2[fF]|%5[cC])\C*"
    r"|(?:%2[fF]|%5[cC])\.{1,2}(?:;\C*)?"
    r")"
)
"""RE2, a full match on the normalised path: an escaped slash beside an empty or a dot segment.

Where escaped slashes are allowed this is what is not: unescaping would take another normalisation."""

_PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9_~!$&'()*+,:;=@\[\].-]+)*/?\Z")
"""Nothing in it is escaped, doubled or a dot segment: it is normalised as it stands. Nearly every path is one."""
_PIECE = re.compile(r"%[0-9A-Fa-f]{2}|.", re.DOTALL)
_ESCAPED_SLASH = re.compile(r"%(?:2f|5c)", re.IGNORECASE)
_AMBIGUOUS_PATH = re.compile(r"//\Z|/\.{1,2};")
_AMBIGUOUS_ESCAPED = re.compile(r"%(?:2f|5c)\.{0,2}(?:/|%2f|%5c)|/\.{0,2}%(?:2f|5c)|%(?:2f|5c)\.{1,2}(?:;|\Z)", re.IGNORECASE)
_DOT_PARAMETERS = re.compile(r"(?<=/)(\.{1,2});[^/]*")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")
_KEPT = _UNRESERVED | frozenset("!$&'()*+,:;=@[]/%")
_HEX = frozenset("0123456789abcdefABCDEF")


def normalised_path(path: str) -> str | None:
    """The path that is forwarded; None where Envoy refuses it (an escaped NUL)."""
    if path and _PLAIN.match(path):
        return path
    pieces = _PIECE.findall(_DOT_PARAMETERS.sub(r"\1", path))
    if "%00" in pieces:
        return None
    return _merged("".join(_segments(pieces)))


def has_escaped_slash(path: str) -> bool:
    return _ESCAPED_SLASH.search(path) is not None


def is_ambiguous(path: str) -> bool:
    return _AMBIGUOUS_PATH.search(path) is not None


def has_ambiguous_escape(path: str) -> bool:
    return _AMBIGUOUS_ESCAPED.search(path) is not None


def unescaped(path: str) -> str:
    """What a server that unescapes slashes takes the path for; a backslash may count as a slash."""
    return _ESCAPED_SLASH.sub("/", path)


def _merged(path: str) -> str:
    return "//" if len(path) > 1 and not path.strip("/") else re.sub(r"/{2,}", "/", path)


def _segments(pieces: list[str]) -> list[str]:
    """Characters of the normalised path, slashes not yet merged."""
    out: list[str] = []
    position = 0
    while position < len(pieces):
        dots = _dots(pieces, position) if out and out[-1] == "/" else 0
        after = position + dots
        if dots and (after == len(pieces) or pieces[after] in "/\\"):
            if dots == 2:
                _up(out)
            position = after + 1
            continue
        _copy(pieces, position, out)
        position += 1
    return out


def _dots(pieces: list[str], position: int) -> int:
    """How many dots, escaped or not, stand here: 1, 2, or 0 where it is none or more than a dot segment has."""
    count = 0
    while position + count < len(pieces) and pieces[position + count] in {".", "%2e", "%2E"}:
        count += 1
    return count if count <= 2 else 0


def _up(out: list[str]) -> None:
    """Leaves the last directory; the root stays."""
    if len(out) > 1:
        out.pop()
        while out[-1] != "/":
            out.pop()


def _copy(pieces: list[str], position: int, out: list[str]) -> None:
    piece = pieces[position]
    if len(piece) == 3:
        character = chr(int(piece[1:], 16))
        if character == ".":
            out.append(".")
        elif character in _UNRESERVED:
            out.append(character)
            _keep_escapes_apart(pieces, position, out)
        else:
            out.extend(piece)
    elif piece == "\\":
        out.append("/")
    elif piece == "." or piece in _KEPT:
        out.append(piece)
    else:
        out.extend(f"%{ord(piece):02X}")


def _keep_escapes_apart(pieces: list[str], position: int, out: list[str]) -> None:
    """A `%` that escaped nothing must not come to escape something: `%%34%31` would read `%41`, so it becomes `%2541`."""
    following = pieces[position + 1] if position + 1 < len(pieces) else ""
    if out[-2:-1] == ["%"] and out[-1] in _HEX and following in _HEX:
        out[-1:] = ["2", "5", out[-1]]
    elif out[-3:-2] == ["%"] and out[-2] in _HEX and out[-1] in _HEX:
        out[-2:] = ["2", "5", *out[-2:]]
