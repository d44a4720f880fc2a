"""Where one structural schema accepts less than another, so far as fields, types, values and limits say it; rules in CEL are left out."""

from collections.abc import Iterator
from typing import Any

Raw = dict[str, Any]
_UPPER, _LOWER = ("maxLength", "maxItems", "maximum", "maxProperties"), ("minLength", "minItems", "minimum", "minProperties")


def narrower(theirs: Raw, ours: Raw | None, path: str = "") -> Iterator[str]:
    """A sentence for each place where `ours` refuses, or prunes, what `theirs` takes."""
    if ours is None:
        yield f"{path}: not known"
        return
    if ours.get("x-kubernetes-preserve-unknown-fields") and "properties" not in ours:
        return
    yield from _here(theirs, ours, path)
    for name, each in theirs.get("properties", {}).items():
        yield from narrower(each, ours.get("properties", {}).get(name), f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(theirs.get(inner), dict):
            yield from narrower(theirs[inner], ours.get(inner), f"{path}[{inner}]")


def _here(theirs: Raw, ours: Raw, path: str) -> Iterator[str]:
    for word in ("type", "format", "x-kubernetes-int-or-string", "nullable", "pattern"):
        if ours.get(word, theirs.get(word)) != theirs.get(word):
            yield f"{path}: {word} {ours.get(word)}, theirs {theirs.get(word)}"
    if "enum" in ours and not set(ours["enum"]) >= set(theirs.get("enum", [object()])):
        yield f"{path}: one of {ours['enum']}, theirs {theirs.get('enum')}"
    if lacking := set(ours.get("required", [])) - set(theirs.get("required", [])):
        yield f"{path}: requires {sorted(lacking)}"
    yield from (f"{path}: {word} {ours[word]}" for word in _UPPER if word in ours and ours[word] < theirs.get(word, float("inf")))
    yield from (f"{path}: {word} {ours[word]}" for word in _LOWER if word in ours and ours[word] > theirs.get(word, 0))
