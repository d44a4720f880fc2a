"""YAML text → the events of its parser, with line and column; what the parser refuses → `BadYamlError`.

libyaml, through ruamel.yaml's C extension, is some twenty times faster than Python; without the extension the pure parser
does the same work. A refusal never quotes the text: what stands there may be a key that somebody forgot to put in quotes.
"""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

# Of the parser's own event classes; their attributes are untyped there.
Event = Any


class BadYamlError(Exception):
    """What the text's syntax breaks, in words, with the place counted from 0."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


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
        raise BadYamlError("this cannot be read as YAML", 0, 0) from None


@cache
def _c_parser() -> Any | None:
    try:
        return importlib.import_module("_ruamel_yaml").CParser
    except ImportError:
        return None


def _raw_events(text: str) -> Iterator[Event]:
    parser_class = _c_parser()
    if parser_class is None:
        yield from YAML(typ="safe", pure=True).parse(text)
        return
    parser = parser_class(text)
    while parser.check_event():
        yield parser.get_event()


def _explained(error: MarkedYAMLError, text: str) -> BadYamlError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.split("\n")
    rest = lines[line][column:] if line < len(lines) else ""
    if rest.startswith("\t"):
        return BadYamlError("a tab cannot indent YAML: use spaces", line, column)
    context = f" {error.context}" if error.context else ""
    return BadYamlError(f"{error.problem}{context}", line, column)


def _place(text: str, position: int) -> tuple[int, int]:
    before = text[:position]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1)
