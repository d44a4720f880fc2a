"""Where in its file a field stands: a document and a field path → line and column, counted from 1.

Most documents have no problem, so places are worked out from the text again when one does, and reading stays fast. A field that is
not there has the place of the nearest thing around it that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from crds.paths import Part
from manifests.events import BadYamlError, Event, events
from manifests.scalars import NotFiniteError, key_text, resolve
from manifests.yaml_nodes import Document

_NOTHING: Mapping[Part, "Place"] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """One value: where it (or its key) begins, 0-based, and what is inside it."""

    line: int = 0
    column: int = 0
    inside: Mapping[Part, "Place"] = field(default_factory=lambda: _NOTHING)


def place_of(document: Document, path: Sequence[Part]) -> tuple[int, int]:
    """Line and column of the field, or of the nearest parent that is there."""
    place = _outline(document.text) if path else _beginning(document.text)
    for part in path:
        inner = place.inside.get(part) or _numbered(place, part)
        if inner is None:
            break
        place = inner
    return document.line + place.line, place.column + 1


def _numbered(place: Place, part: Part) -> Place | None:
    """The entry of a map that is told by its number, because its key is not to be shown."""
    return next(islice(place.inside.values(), part, None), None) if isinstance(part, int) else None


@lru_cache(maxsize=4)
def _outline(text: str) -> Place:
    """What was read before reads again, except JSON that YAML does not take: then all there is to say is where it begins."""
    try:
        stream = events(text)
        event = _first(stream)
        return _node(event, stream, {}) if event else Place()
    except BadYamlError:
        return _beginning(text)


def _beginning(text: str) -> Place:
    try:
        event = _first(events(text))
    except BadYamlError:
        event = None
    if event:
        return Place(event.start_mark.line, event.start_mark.column)
    blank = len(text) - len(text.lstrip())
    return Place(text.count("\n", 0, blank), blank - (text.rfind("\n", 0, blank) + 1))


def _first(stream: Iterator[Event]) -> Event | None:
    """The event of the document's outermost value."""
    started = False
    for event in stream:
        if started:
            return event
        started = type(event) is DocumentStartEvent
    return None


def _node(event: Event, stream: Iterator[Event], anchors: dict[str, Place]) -> Place:
    kind = type(event)
    mark = event.start_mark
    if kind is AliasEvent:
        return Place(mark.line, mark.column, anchors.get(event.anchor, Place()).inside)
    inside = _NOTHING
    if kind is MappingStartEvent:
        inside = _mapping(stream, anchors)
    elif kind is SequenceStartEvent:
        inside = _sequence(stream, anchors)
    place = Place(mark.line, mark.column, inside)
    if event.anchor is not None:
        anchors[event.anchor] = place
    return place


def _sequence(stream: Iterator[Event], anchors: dict[str, Place]) -> Mapping[Part, Place]:
    inside: dict[Part, Place] = {}
    for event in stream:
        if type(event) is SequenceEndEvent:
            break
        inside[len(inside)] = _node(event, stream, anchors)
    return inside


def _mapping(stream: Iterator[Event], anchors: dict[str, Place]) -> Mapping[Part, Place]:
    inside: dict[Part, Place] = {}
    merged: list[Place] = []
    for event in stream:
        if type(event) is MappingEndEvent:
            break
        _node(event, stream, anchors)
        value = _node(next(stream), stream, anchors)
        key = _key(event)
        if key == "<<" and not event.style:
            merged.append(value)
        else:
            inside.setdefault(key, Place(event.start_mark.line, event.start_mark.column, value.inside))
    return _with_merged(inside, merged)


def _with_merged(inside: dict[Part, Place], merged: list[Place]) -> Mapping[Part, Place]:
    for source in merged:
        for part, place in source.inside.items():
            for key, value in place.inside.items() if isinstance(part, int) else ((part, place),):
                inside.setdefault(key, value)
    return inside


def _key(event: Event) -> str:
    """The key's text; an alias as a key is too rare to be followed."""
    if type(event) is not ScalarEvent:
        return ""
    text: str = event.value
    if event.style or event.tag is not None:
        return text
    try:
        return key_text(resolve(text)) or text
    except NotFiniteError:
        return text
