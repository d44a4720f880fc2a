"""YAML text → the events of its parser, with line and column; what the parser refuses → `BadYamlError`.

libyaml, through ruamel.yaml's C extension, is some twenty times faster than Python; without the extension the pure parser
does the same work. It also takes over where libyaml is too old for what kubectl reads: `{image: registry.example/agent:1}`.
A refusal never quotes the text: what stands there may be a key that somebody forgot to put in quotes.
"""

import importlib
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

# What libyaml says, and what a person does about it.
_PLAINLY = {
    "mapping values are not allowed in this context": "`: ` is not allowed here: put the value in quotes, or correct the indentation",
    "did not find expected key": "the indentation does not fit the lines above, or a key is missing",
    "could not find expected ':'": "a key without `:`: complete it, or put a text of several lines in quotes",
    "did not find expected ',' or '}'": "a comma is missing, or the `{` is not closed",
    "did not find expected ',' or ']'": "a comma is missing, or the `[` is not closed",
    "did not find expected node content": "a value is missing, or a bracket is not closed",
    "did not find expected '-' indicator": "the indentation does not fit the list above",
    "found unexpected end of stream": "the quote is not closed",
    "found unexpected document indicator": "the quote is not closed before the `---`",
    "found unknown escape character": "in double quotes this backslash means nothing: double it, or use single quotes",
    "found character that cannot start any token": "a value cannot begin with this character: put it in quotes",
    "found incompatible YAML document": "this version of YAML is not read: remove the `%YAML` line",
}
# What the pure parser says in place of the same, before it quotes what it found.
_PLAINLY |= {
    "expected <block end>": _PLAINLY["did not find expected key"],
    "expected ',' or '}'": _PLAINLY["did not find expected ',' or '}'"],
    "expected ',' or ']'": _PLAINLY["did not find expected ',' or ']'"],
    "expected the node content": _PLAINLY["did not find expected node content"],
}

# Where the C parser refuses a colon inside an unquoted word of a flow map or list, which kubectl does not.
_COLON_IN_FLOW = "found unexpected ':'"
_FOUND = re.compile(r",? but (?:found|got) ")
_UNREADABLE = "this cannot be read as YAML"

# Of the parser's own event classes; their attributes are untyped there.
Event = Any


class BadYamlError(Exception):
    """What breaks the syntax, in words; where the parser stumbled and where what it was reading began, counted from 0."""

    def __init__(self, message: str, line: int, column: int, since: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.since = since


def events(text: str) -> Iterator[Event]:
    """All events, lazily: who stops reading has not paid for the rest."""
    try:
        yield from _raw_events(text)
    except MarkedYAMLError as error:
        raise _explained(error, text) from None
    except ReaderError as error:
        raise BadYamlError("a control character is not allowed here: remove it", *_place(text, error.position)) from None
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeEncodeError) else 0
        raise BadYamlError("this character is not valid Unicode", *_place(text, at)) from None
    except (YAMLError, ValueError, RecursionError):
        raise BadYamlError(_UNREADABLE, 0, 0) from None


@cache
def _c_parser() -> Any | None:
    try:
        return importlib.import_module("_ruamel_yaml").CParser
    except ImportError:
        return None


def _raw_events(text: str) -> Iterator[Event]:
    parser_class = _c_parser()
    if parser_class is None:
        yield from _pure_events(text)
        return
    parser = parser_class(text)
    done = 0
    try:
        while parser.check_event():
            yield parser.get_event()
            done += 1
    except MarkedYAMLError as error:
        if error.problem != _COLON_IN_FLOW:
            raise
        yield from islice(_pure_events(text), done, None)


def _pure_events(text: str) -> Iterator[Event]:
    yield from YAML(typ="safe", pure=True).parse(text)


def _explained(error: MarkedYAMLError, text: str) -> BadYamlError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    rest = lines[line][column:] if line < len(lines) else ""
    if rest.startswith("\t"):
        return BadYamlError("a tab cannot indent YAML: use spaces", line, column)
    since = error.context_mark.line if error.context_mark and error.context_mark.line != line else None
    return BadYamlError(_in_words(error.problem or ""), line, column, since)


def _in_words(said: str) -> str:
    """Whatever is in quotes may be the text's."""
    known = _PLAINLY.get(_FOUND.split(said, maxsplit=1)[0])
    return known or (said if said and "'" not in said and '"' not in said else _UNREADABLE)


def _place(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1)
