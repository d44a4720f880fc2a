"""A Go template's text → text and actions, as Go's own lexer cuts them: delimiters, trim markers, comments, and an action's words.

What Go accepts and no profile needs (variables, characters, numbers with a point, escapes of single bytes) is refused here
with its remedy. What an action means is `policy.go_templates`'.
"""

import re
from dataclasses import dataclass

SPACE = " \t\r\n"


class TemplateMistake(Exception):  # noqa: N818 — it ends as a problem
    """`unsupported`: Go would take it."""

    def __init__(self, message: str, *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.unsupported = unsupported


@dataclass(frozen=True, slots=True)
class Word:
    """`kind` is name, field, dollar, text, number, pipe, open or close. `spaced`: a space stands before it."""

    kind: str
    value: str
    spaced: bool


@dataclass(frozen=True, slots=True)
class Action:
    words: tuple[Word, ...]


_WORD = re.compile(
    r"""(?P<field>\.[A-Za-z_][A-Za-z0-9_]*)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>-?(?:0|[1-9][0-9]*)(?![0-9A-Za-z_.]))
    |(?P<dollar>\$)
    |"(?P<text>(?:\\.|[^"\\\n])*)"
    |`(?P<raw>[^`]*)`
    |(?P<pipe>\|)|(?P<open>\()|(?P<close>\))""",
    re.VERBOSE,
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_OPERANDS = frozenset({"name", "field", "number", "dollar", "text"})


def scan(source: str) -> list[str | Action]:
    """Raises TemplateMistake. Comments are gone, and text that a trim marker ate."""
    pieces: list[str | Action] = []
    position, trim = 0, False
    while True:
        start = source.find("{{", position)
        if start < 0:
            pieces.append(_trimmed(source[position:], left=trim))
            return [piece for piece in pieces if piece != ""]
        inside = start + 2
        marked = source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in SPACE and inside + 1 < len(source)
        pieces.append(_trimmed(source[position:start], left=trim, right=marked))
        inside += marked
        comment = inside + marked
        if source.startswith("/*", comment):
            position, trim = _comment_end(source, comment)
        else:
            action, position, trim = _action(source, inside)
            pieces.append(action)


def _trimmed(text: str, *, left: bool, right: bool = False) -> str:
    text = text.lstrip(SPACE) if left else text
    return text.rstrip(SPACE) if right else text


def _end(source: str, position: int) -> tuple[int, bool] | None:
    """Behind a right delimiter that stands here, and whether it trims."""
    if source.startswith("}}", position):
        return position + 2, False
    if source[position : position + 1] in SPACE and source.startswith("-}}", position + 1):
        return position + 4, True
    return None


def _comment_end(source: str, start: int) -> tuple[int, bool]:
    close = source.find("*/", start + 2)
    if close < 0:
        raise TemplateMistake("a comment is not closed: end it with `*/}}`")
    end = _end(source, close + 2)
    if end is None:
        raise TemplateMistake("a comment stands alone between its braces: write `{{/* … */}}`")
    return end


def _action(source: str, position: int) -> tuple[Action, int, bool]:
    words: list[Word] = []
    spaced = False
    while True:
        if position >= len(source):
            raise TemplateMistake("an action is not closed: end it with `}}`")
        end = _end(source, position)
        if end:
            return Action(tuple(words)), *end
        if source[position] in SPACE:
            spaced, position = True, position + 1
            continue
        word, position = _word(source, position, spaced=spaced)
        words.append(word)
        spaced = False
        _separated(source, position, word)


def _word(source: str, position: int, *, spaced: bool) -> tuple[Word, int]:
    found = _WORD.match(source, position)
    if found is None or found.lastgroup is None:
        raise TemplateMistake(_unread(source, position), unsupported=source[position] in ".'-+,:=$/%0123456789")
    kind, value = found.lastgroup, found[found.lastgroup]
    if kind == "text":
        value = _ESCAPE.sub(_unescaped, value)
    if kind == "raw":
        kind, value = "text", value.replace("\r", "")
    return Word(kind, value, spaced), found.end()


def _unread(source: str, position: int) -> str:
    character = source[position]
    if character == ".":
        return 'a dot stands before a field\'s name: write `.Request.Host`, or `index .Request.Headers "x-a"` for other keys'
    if character in '"`':
        return "a text is not closed"
    return f"`{character}` cannot stand here" if character.isprintable() else "a character that is not printed cannot stand here"


def _separated(source: str, position: int, word: Word) -> None:
    if word.kind not in _OPERANDS or position >= len(source) or source[position] in f"{SPACE}|)" or source.startswith("}}", position):
        return
    if word.kind in {"field", "dollar"} and source[position] == ".":
        return
    if word.kind == "field" and source[position] == "-":
        raise TemplateMistake('a name with `-` is no field: write `index .Request.Headers "x-a"`')
    if word.kind == "dollar":
        raise TemplateMistake("there are no variables: `$` is only the root, as in `$.Request.Host`", unsupported=True)
    raise TemplateMistake("put a space between an action's words")


def _unescaped(found: "re.Match[str]") -> str:
    escape = found[1]
    if escape in _ESCAPES:
        return _ESCAPES[escape]
    code = int(escape[1:], 16) if escape[0] in "uU" and len(escape) > 1 else -1
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise TemplateMistake(f"`\\{escape}` is no character: write it as it is, or as `\\u00e9`", unsupported=escape[0] in "x01234567")
    return chr(code)
