"""YAML text → documents of plain data, read as kubectl reads them, and every mistake on the way with its place.

Strangers' text is read with limits: on nodes, on depth, on what aliases may grow to, on documents. Nothing in it can name
a Python object: any tag beyond the core ones is refused. A document with a syntax error does not take the next ones along: the
text is cut at its `---` lines first, as kubectl cuts it. Values never enter a message, since they may be secrets; neither do tags
and anchors, which are what an unquoted password with a leading `!` or `&` looks like.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import Any, NoReturn

from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from crds.hidden import fit_to_show
from crds.paths import Part, render, shorten
from crds.problem import Problem
from manifests.events import BadYamlError, Event, events
from manifests.scalars import NotFiniteError, Scalar, is_ambiguous, key_text, resolve

MAX_DEPTH = 64
MAX_DOCUMENTS = 20_000
MAX_NODES = 5_000_000  # of everything; a profile of ten rules has about four hundred
MAX_DOCUMENT_NODES = 1_000_000
MAX_ALIAS_NODES = 100_000  # of one document: what its aliases add to what is written
MAX_MISTAKES = 100  # of one document

_SEPARATOR = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
_DIRECTIVES_ONLY = re.compile(r"(?:\s*(?:[%#][^\n]*)?\n)*")
_TAG = "tag:yaml.org,2002:"
_FILE_MODES = frozenset({"defaultMode", "mode"})  # where 0644 is meant as written


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """A Problem and where it is: line and column count from 1."""

    problem: Problem
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`text` is the document alone and begins on `line`. `data` is what could be read of it: None if it could not be read to its end."""

    text: str
    line: int
    data: Any = None
    mistakes: tuple[Mistake, ...] = ()

    @property
    def refused(self) -> bool:
        return any(mistake.problem.fatal for mistake in self.mistakes)


@dataclass(slots=True, kw_only=True)
class Budget:
    """What may still be read, over all files of one load."""

    nodes: int = MAX_NODES
    documents: int = MAX_DOCUMENTS

    @property
    def exhausted(self) -> bool:
        return self.nodes <= 0 or self.documents < 0


def read_documents(text: str, budget: Budget) -> Iterator[Document]:
    """Every document that holds something or is broken, in order. When the budget is used up, the last one says so."""
    for line, chunk in _chunks(text):
        if not chunk.strip():
            continue
        yield from _read_chunk(chunk, line, budget)
        if budget.exhausted:
            return


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """The pieces between `---` lines with their first line; directives stay with the document that they are for."""
    starts = (found.start() for found in _SEPARATOR.finditer(text))
    first = next(starts, len(text))
    directives = "%" in text[:first] and _DIRECTIVES_ONLY.fullmatch(text, 0, first)
    line, previous = 1, 0
    for start, end in pairwise(chain((0,), () if directives else (first,), starts, (len(text),))):
        line += text.count("\n", previous, start)
        previous = start
        yield line, text[start:end]


def _read_chunk(text: str, line: int, budget: Budget) -> Iterator[Document]:
    """Usually one document; `...` lines can make it more."""
    stream = events(text)
    try:
        for event in stream:
            if type(event) is not DocumentStartEvent:
                continue
            budget.documents -= 1
            reader = _Reader(stream, budget, event)
            if budget.documents < 0:
                reader.stop(event, "TooManyDocuments", f"more than {MAX_DOCUMENTS} documents: give fewer manifests")
            data = reader.document()
            if data is not None or reader.found:
                yield Document(text=text, line=line, data=data, mistakes=reader.placed(line))
    except _StopError as stop:
        yield Document(text=text, line=line, mistakes=tuple(_moved(mistake, line) for mistake in stop.mistakes))
    except BadYamlError as error:
        since = "" if error.since is None else f" (it is part of what begins in line {error.since + line})"
        problem = Problem(reason="SyntaxError", message=f"not valid YAML: {error.message}{since}")
        yield Document(text=text, line=line, mistakes=(_moved(Mistake(problem=problem, line=error.line, column=error.column), line),))


def _moved(mistake: Mistake, first_line: int) -> Mistake:
    """From a parser's mark (0-based, inside its piece of text) to the file's lines."""
    return replace(mistake, line=mistake.line + first_line, column=mistake.column + 1)


class _StopError(Exception):
    """The document cannot be read on."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        super().__init__(mistakes[-1].problem.reason)
        self.mistakes = mistakes


@dataclass(slots=True)
class _Reader:
    """One document out of the stream of events. Recursion is bounded by `MAX_DEPTH`."""

    stream: Iterator[Event]
    budget: Budget
    start: Event
    allowed: int = 0
    nodes: int = 0
    alias_nodes: int = MAX_ALIAS_NODES
    anchors: dict[str, Any] = field(default_factory=dict)
    path: list[Part] = field(default_factory=list)
    found: list[Mistake] = field(default_factory=list)

    def document(self) -> Any:
        self.allowed = self.nodes = min(MAX_DOCUMENT_NODES, self.budget.nodes)
        data = self._node(next(self.stream), 0)
        self.budget.nodes -= self.allowed - self.nodes
        for event in self.stream:
            if type(event) is DocumentEndEvent:
                break
        return data

    def placed(self, first_line: int) -> tuple[Mistake, ...]:
        return tuple(_moved(mistake, first_line) for mistake in self.found)

    def stop(self, event: Event, reason: str, message: str) -> NoReturn:
        self._note(event, reason, message)
        raise _StopError(self.found)

    def _note(self, event: Event, reason: str, message: str, *, fatal: bool = True) -> None:
        mark = event.start_mark
        problem = Problem(reason=reason, message=message, field=render(self.path), fatal=fatal)
        self.found.append(Mistake(problem=problem, line=mark.line, column=mark.column))

    def _node(self, event: Event, depth: int) -> Any:
        self.nodes -= 1
        kind = type(event)
        if self.nodes < 0:
            self.budget.nodes -= self.allowed
            self.stop(event, "TooLarge", f"more than {self.allowed} values: split it, or give fewer manifests")
        if depth > MAX_DEPTH:
            self.stop(event, "TooDeep", f"nested deeper than {MAX_DEPTH} levels")
        value: Any
        if kind is ScalarEvent:
            value = self._scalar(event)
        elif kind is MappingStartEvent:
            value = self._mapping(event, depth + 1)
        elif kind is SequenceStartEvent:
            value = self._sequence(event, depth + 1)
        else:
            return self._alias(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = value
        return value

    def _sequence(self, start: Event, depth: int) -> list[Any]:
        self._check_tag(start, "seq")
        result: list[Any] = []
        for event in self.stream:
            if type(event) is SequenceEndEvent:
                break
            self.path.append(len(result))
            result.append(self._node(event, depth))
            self.path.pop()
        return result

    def _mapping(self, start: Event, depth: int) -> dict[str, Any]:
        self._check_tag(start, "map")
        result: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for event in self.stream:
            if type(event) is MappingEndEvent:
                break
            if _is_merge(event):
                merged.extend(self._merge(event, depth))
                continue
            key = self._key(event, depth)
            shown = fit_to_show(self.path, key, repeated=key in result)
            self.path.append(key if shown else _number(result, key))
            if key in result:
                self._duplicate(event, f"`{shorten(key)}`" if shown else "a key")
            value = self._node(next(self.stream), depth)
            result.setdefault(key, value)
            self.path.pop()
        for source in merged:
            for key, value in source.items():
                result.setdefault(key, value)
        return result

    def _duplicate(self, event: Event, key: str) -> None:
        self._note(event, "DuplicateKey", f"{key} stands twice in this map: remove one")
        if len(self.found) > MAX_MISTAKES:
            self.stop(event, "TooManyProblems", "the rest of this document was not read: correct these first")

    def _merge(self, event: Event, depth: int) -> list[dict[str, Any]]:
        value = self._node(next(self.stream), depth)
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self.stop(event, "SyntaxError", "`<<` takes a map or a list of maps")
        return sources

    def _key(self, event: Event, depth: int) -> str:
        """The key as JSON spells it. Like kubectl, only scalars are keys, and null is none."""
        if type(event) not in (ScalarEvent, AliasEvent):
            self.stop(event, "SyntaxError", "a map or list cannot be a key: was a value in braces meant? Put it in quotes")
        value = self._node(event, depth)
        key = None if isinstance(value, dict | list) else key_text(value)
        if key is None:
            self.stop(event, "SyntaxError", "this cannot be a key: write a text")
        return str(key)

    def _scalar(self, event: Event) -> Scalar:
        text: str = event.value
        if event.tag is not None:
            return self._tagged(event, text)
        if event.style:
            return text
        if is_ambiguous(text) and not (self.path and self.path[-1] in _FILE_MODES):
            self._note(event, "AmbiguousScalar", _AMBIGUOUS, fatal=False)
        return self._resolved(event, text)

    def _resolved(self, event: Event, text: str) -> Scalar:
        try:
            return resolve(text)
        except NotFiniteError:
            self.stop(event, "InvalidValue", "infinity and not-a-number have no place in an object: quote it if it is text")

    def _tagged(self, event: Event, text: str) -> Scalar:
        if event.tag in ("!", _TAG + "str"):
            return text
        kinds = _TAGGED.get(event.tag)
        if kinds is None:
            self._refuse_tag(event)
        value = self._resolved(event, text)
        if type(value) not in kinds:
            self.stop(event, "InvalidType", "this value is not what its tag says")
        return float(value) if event.tag == _TAG + "float" and isinstance(value, int) else value

    def _check_tag(self, event: Event, name: str) -> None:
        if event.tag not in (None, "!", _TAG + name):
            self._refuse_tag(event)

    def _refuse_tag(self, event: Event) -> NoReturn:
        self.stop(event, "CustomTag", "a tag (a word that begins with `!`) is not read here: remove it, or quote the value if it is text")

    def _alias(self, event: Event, depth: int) -> Any:
        if event.anchor not in self.anchors:
            message = "an alias (a word that begins with `*`) must name an earlier anchor: quote the value if it is text"
            self.stop(event, "UnknownAlias", message)
        return self._copied(self.anchors[event.anchor], depth, event)

    def _copied(self, value: Any, depth: int, event: Event) -> Any:
        """What an alias stands for, counted as if it were written out."""
        self.alias_nodes -= 1
        if self.alias_nodes < 0:
            self.stop(event, "AliasBomb", f"the aliases of this document stand for more than {MAX_ALIAS_NODES} values: write them out")
        if depth > MAX_DEPTH:
            self.stop(event, "TooDeep", f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {key: self._copied(item, depth + 1, event) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copied(item, depth + 1, event) for item in value]
        return value


def _number(entries: dict[str, Any], key: str) -> int:
    """Which entry of its map this is, or becomes."""
    return list(entries).index(key) if key in entries else len(entries)


def _is_merge(event: Event) -> bool:
    if type(event) is not ScalarEvent or event.value != "<<":
        return False
    return event.tag == _TAG + "merge" or (event.tag is None and not event.style)


_AMBIGUOUS = (
    "this is not read as text: unquoted, yes, no, on, off, y and n are true or false, and a number that begins with 0 is octal; "
    "quote it if it is text, else write true, false or the decimal number"
)
_TAGGED: dict[str, tuple[type, ...]] = {
    _TAG + "int": (int,),
    _TAG + "float": (int, float),
    _TAG + "bool": (bool,),
    _TAG + "null": (type(None),),
}
