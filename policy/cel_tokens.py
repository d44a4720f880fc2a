"""A CEL expression's words, and what is wrong with it that no type checker says.

CEL lets an expression name what is not there and loop in loops; both only show when a request comes. Here a profile's author
learns of it at once: a field that a variable does not have, an input that the profile does not declare, a regular expression
that RE2 refuses or that the request would choose, a comprehension within another. Syntax and types are `policy.cel`'s.

RE2 takes time for each character and each step of its program: with counted repetitions, a long header and a loop around it one
`matches` took a minute. Hence few patterns, small ones, none in a loop, and each on a text as the request has it.
"""

import re
from dataclasses import dataclass, field

import re2

from policy.report import quoted
from policy.variables import Kind

MOST_PATTERNS = 4
LARGEST_PATTERN = 256
"""RE2 instructions."""
MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n\f]+|//[^\n]*)
    |(?P<string>(?:[rR][bB]?|[bB][rR])(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    start: int


def tokens(text: str) -> list[Token]:
    """Without spaces and comments."""
    return [Token(found.lastgroup or "", found[0], found.start()) for found in _TOKEN.finditer(text) if found.lastgroup != "space"]


@dataclass(slots=True)
class Reading:
    """`mistakes` are sentences; `constant` are spans of `has(request.host)`, which is always true of a field that is always there.

    `patterns` are literals of regular expressions, as written.
    """

    mistakes: list[str] = field(default_factory=list)
    constant: list[tuple[int, int]] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)


def read(text: str, variables: Kind, inputs: frozenset[str] | None) -> Reading:
    """`inputs` are the names that the profile declares; None where that is not known."""
    words = tokens(text)
    reading = Reading()
    looped = _comprehensions(words, {cel for _, cel, _ in variables.fields}, reading)
    for index in range(len(words)):
        _read_variable(words, index, variables, inputs, reading)
        if words[index].text == "matches" and words[index].kind == "name" and _texts(words, index + 1, 1) == ["("]:
            _read_pattern(words, index, reading, looped=index in looped)
    if len(reading.patterns) > MOST_PATTERNS:
        reading.mistakes.append(f"{len(reading.patterns)} patterns could take long: join them, {MOST_PATTERNS} are allowed")
    return reading


def _texts(words: list[Token], start: int, count: int) -> list[str]:
    return [word.text for word in words[start : start + count]]


def _comprehensions(words: list[Token], taken: set[str], reading: Reading) -> set[int]:
    """Which words are inside one. The range before the dot is outside: `a.filter(…).map(…)` is no nesting."""
    inside: list[bool] = []
    looped = set()
    for index, word in enumerate(words):
        if any(inside):
            looped.add(index)
        if word.text in "([{" and word.kind == "other":
            opens = word.text == "(" and _calls(words, index, MACROS)
            if opens and any(inside):
                reading.mistakes.append("a comprehension within another could take long: write one only, or use `in`")
            if opens and index + 1 < len(words) and words[index + 1].text in taken:
                reading.mistakes.append(f"{quoted(words[index + 1].text)} is a variable already: give the comprehension another one")
            inside.append(opens)
        elif word.text in ")]}" and word.kind == "other" and inside:
            inside.pop()
    return looped


def _calls(words: list[Token], bracket: int, names: frozenset[str]) -> bool:
    return bracket >= 2 and words[bracket - 1].text in names and words[bracket - 2].text == "."


def _read_variable(words: list[Token], index: int, variables: Kind, inputs: frozenset[str] | None, reading: Reading) -> None:
    name = words[index]
    kind = next((kind for _, cel, kind in variables.fields if cel == name.text), None)
    if name.kind != "name" or kind is None or _selected(words, index):
        return
    member = _member(words, index + 1)
    if member is None:
        return
    if kind.fields:
        known = [cel for _, cel, _ in kind.fields]
        if member not in known:
            reading.mistakes.append(f"{quoted(name.text)} has no {quoted(member)}: it has {', '.join(known)}")
        elif name.text != "response" and _texts(words, index - 2, 2) == ["has", "("] and _texts(words, index + 3, 1) == [")"]:
            reading.constant.append((words[index - 2].start, words[index + 3].start + 1))
    elif name.text == "inputs" and inputs is not None and member not in inputs:
        declared = f"it declares {', '.join(sorted(inputs))}" if inputs else "it declares none"
        reading.mistakes.append(f"the profile has no input {quoted(member)}: {declared}")


def _selected(words: list[Token], index: int) -> bool:
    """Behind a dot it is somebody's field, unless the dot only says that it is a variable; before a colon, a field of a message."""
    if _texts(words, index + 1, 1) == [":"] and index and words[index - 1].text in "{,":
        return True
    if index == 0 or words[index - 1].text != ".":
        return False
    return index > 1 and (words[index - 2].kind in {"name", "string"} or words[index - 2].text in ")]}")


def _member(words: list[Token], index: int) -> str | None:
    """`.name` or `['name']`."""
    following = words[index : index + 3]
    if len(following) > 1 and following[0].text == "." and following[1].kind == "name":
        return following[1].text
    if (
        len(following) > 2
        and following[0].text == "["
        and following[2].text == "]"
        and re.fullmatch(r"(['\"])[^'\"\\]*\1", following[1].text)
    ):
        return following[1].text[1:-1]
    return None


def _read_pattern(words: list[Token], index: int, reading: Reading, *, looped: bool) -> None:
    argument = words[index + 2 : index + 4]
    literal = len(argument) == 2 and argument[0].kind == "string" and argument[1].text == ")"
    if looped:
        reading.mistakes.append("`matches` in a comprehension could take long: use `startsWith`, `contains` or `in` there")
    elif literal and _plain_text(words, index - 1):
        reading.patterns.append(argument[0].text)
    else:
        reading.mistakes.append("`matches` reads a variable, and its pattern stands there as text: `request.path.matches('^/v1/')`")


def _plain_text(words: list[Token], index: int) -> bool:
    """Whether `a.b['c'].` or a literal and a dot end at this word: text as it came, not put together."""
    while index > 0 and words[index].text == "." and words[index].kind == "other":
        index -= 1
        while index > 0 and words[index].text == "]" and words[index].kind == "other":
            index = _opening(words, index) - 1
        if words[index].kind == "string" or index < 0:
            return index >= 0
        if words[index].kind != "name":
            return False
        index -= 1
        if index < 0 or words[index].text != ".":
            return True
    return False


def _opening(words: list[Token], index: int) -> int:
    """Of the bracket that closes here; -1 where there is none."""
    depth = 0
    while index >= 0:
        depth += (words[index].text in ")]}") - (words[index].text in "([{") if words[index].kind == "other" else 0
        if depth == 0:
            return index
        index -= 1
    return -1


def bad_pattern(pattern: str) -> str | None:
    """What RE2 has against it, as `policy.patterns` says it of conditions; here it works on characters, not bytes."""
    options = re2.Options()
    options.log_errors = False
    try:
        size = re2.compile(pattern, options).programsize
    except re2.error as error:
        words = error.args[0] if error.args else b""
        complaint = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        return f"RE2 does not accept {quoted(pattern)}: {complaint}"
    if size > LARGEST_PATTERN:
        return f"the expression {quoted(pattern)} grows to {size} steps, {LARGEST_PATTERN} are allowed: count fewer repetitions"
    return None
