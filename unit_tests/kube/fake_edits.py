"""How a server in memory changes an object: JSON patch, merge patch, and server-side apply with owners of fields.

Owners are kept as the real one keeps them: a field that a manager applied and applies no longer goes away, unless someone else
owns it too; and what the same manager wrote by POST, PUT or PATCH counts as someone else's. Lists are owned as a whole.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kube.objects import Raw

Path = tuple[str, ...]
Owner = tuple[str, str]  # manager, "Apply" or "Update"
SYSTEM = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")


class UnprocessableError(Exception):
    pass


class ContestedError(Exception):
    pass


def merge(live: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def json_patch(live: Raw, operations: list[Raw]) -> Raw:
    """RFC 6902: test, add, replace, remove."""
    patched = copy.deepcopy(live)
    for operation in operations:
        *parents, last = _pointer(str(operation["path"]))
        _operate(_step_down(patched, parents), last, operation)
    return patched


def _pointer(text: str) -> list[str]:
    if not text.startswith("/"):
        raise UnprocessableError(f"a path begins with a slash: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _step_down(place: Any, parents: list[str]) -> Any:
    for part in parents:
        try:
            place = place[int(part)] if isinstance(place, list) else place[part]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise UnprocessableError(f"there is no {part}") from error
    return place


def _operate(place: Any, last: str, operation: Raw) -> None:
    do, value = operation["op"], copy.deepcopy(operation.get("value"))
    if isinstance(place, list) and do == "add":
        place.insert(len(place) if last == "-" else int(last), value)
        return
    there = last in place if isinstance(place, dict) else isinstance(place, list) and last.isdecimal() and int(last) < len(place)
    at: Any = int(last) if isinstance(place, list) and there else last
    if not isinstance(place, list | dict) or (do != "add" and not there):
        raise UnprocessableError(f"there is no {last}")
    if do == "test" and place[at] != value:
        raise UnprocessableError(f"testing {last} failed")
    if do == "remove":
        del place[at]
    elif do in ("add", "replace"):
        place[at] = value


def leaves(raw: Raw) -> dict[Path, Any]:
    """Every field that someone can own."""
    return {path: value for path, value in _walk(raw, ()) if path[0] not in ("apiVersion", "kind") and path[:2] not in _SYSTEM}


_SYSTEM = {("metadata", name) for name in SYSTEM}


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _walk(inner, (*path, name))
    elif path:
        yield path, value


@dataclass
class Owners:
    """Who owns which fields of one object."""

    fields: dict[Owner, set[Path]] = field(default_factory=dict)

    def wrote(self, manager: str, old: Raw, new: Raw) -> None:
        """By POST, PUT or PATCH: what has changed is the writer's, and no one else's."""
        before, after = leaves(old), leaves(new)
        changed = {path for path, value in after.items() if path not in before or before[path] != value}
        self._take((manager, "Update"), changed)
        for owned in self.fields.values():
            owned.intersection_update(after)

    def apply(self, manager: str, live: Raw, body: Raw, *, force: bool) -> Raw:
        mine, wanted, there = (manager, "Apply"), leaves(body), leaves(live)
        differing = {path for path, value in wanted.items() if path in there and there[path] != value}
        contested = {path for owner, owned in self.fields.items() if owner != mine for path in owned & differing}
        if contested and not force:
            raise ContestedError(".".join(min(contested)))
        dropped = self.fields.get(mine, set()) - set(wanted)
        others = set().union(*(owned for owner, owned in self.fields.items() if owner != mine))
        self._take(mine, differing)
        self.fields[mine] = set(wanted)
        applied = _deep(live, body)
        kept = others | set(wanted)
        for path in dropped:
            if not any(other[: len(path)] == path for other in kept):
                _remove(applied, path)
        return applied

    def _take(self, owner: Owner, paths: set[Path]) -> None:
        for other, owned in self.fields.items():
            if other != owner:
                owned.difference_update(paths)
        self.fields.setdefault(owner, set()).update(paths)


def _deep(live: Any, body: Any) -> Any:
    if isinstance(live, dict) and isinstance(body, dict):
        return {**live, **{name: _deep(live.get(name), value) for name, value in body.items()}}
    return copy.deepcopy(body)


def _remove(raw: Raw, path: Path) -> None:
    """With the maps that it leaves empty, except the object's own parts."""
    *parents, last = path
    places = [raw]
    for part in parents:
        inner = places[-1].get(part)
        if not isinstance(inner, dict):
            return
        places.append(inner)
    places[-1].pop(last, None)
    for depth in range(len(parents) - 1, 0, -1):
        if not places[depth + 1]:
            places[depth].pop(parents[depth], None)
