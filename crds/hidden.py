"""Which keys of a Secret may be named in a problem: place in, place out.

A value that was put in the place of a key (`stringData: {"hunter2"}`) is a key to every reader, and a problem's path would name it.
So a key below a map of a Secret is shown only where it has a value, and below its data only where it looks like a data key; otherwise
its number in the map stands in its place, counted from 0 as in a list: `stringData[0]`. `manifests` finds the line by that number.
"""

from collections.abc import Sequence
from typing import Any

from crds import names
from crds.annotations import PREFIX
from crds.paths import Part

DATA = frozenset({"data", "stringData"})

_MAPS = {("data",), ("stringData",), ("metadata", "labels"), ("metadata", "annotations")}


def shown_place(secret: dict[str, Any], place: tuple[Part, ...]) -> tuple[Part, ...]:
    """The place of a problem in a Secret, without what may be a value."""
    for above in _MAPS:
        end = len(above)
        if place[:end] == above and len(place) > end:
            return (*above, _shown(above, _inside(secret, above), place[end]), *place[end + 1 :])
    return place


def fit_to_show(path: Sequence[Part], key: str, *, repeated: bool) -> bool:
    """Whether a key may be named that stands at this path of any document, while its kind and value are not known yet."""
    if DATA.isdisjoint(path):
        return True
    return not repeated and path[-1] in DATA and names.data_key(key) is None


def _inside(value: Any, path: tuple[str, ...]) -> dict[str, Any]:
    for part in path:
        value = value[part]
    found: dict[str, Any] = value
    return found


def _shown(above: tuple[str, ...], entries: dict[str, Any], key: Part) -> Part:
    text = str(key)
    like_a_key = DATA.isdisjoint(above) or names.data_key(text) is None
    if text.startswith(PREFIX) or (entries.get(text) is not None and like_a_key):
        return key
    return next((number for number, entry in enumerate(entries) if str(entry) == text), 0)
