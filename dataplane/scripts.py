"""Lua scripts as files of their own, where many listeners hold the same ones.

In: listeners with their scripts inlined. Out: the same listeners naming files, and these files. In a pod's Secret each script
then stands once, not once for each HTTP manager of each set of listeners. A file is named by its content: another script is another
listener, which Envoy then reads anew, and old listeners never meet a new script.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from operator import is_not
from typing import Any

from dataplane.secrets import Layout
from dataplane.xds import Resource

CODE = "default_source_code"
CODES = "source_codes"
BRANCHES = (dict, list)


@cache
def script(*names: str) -> str:
    """The files of `lua/`, one after the other."""
    return "".join(files("dataplane").joinpath("lua", name).read_text(encoding="utf-8") for name in names)


def apart(resources: Iterable[Resource], layout: Layout) -> tuple[list[Resource], dict[str, str]]:
    found: dict[str, str] = {}

    def named(code: Resource) -> Resource:
        text = code["inline_string"]
        name = f"lua-{hashlib.sha256(text.encode()).hexdigest()[:16]}.lua"
        found[name] = text
        return {"filename": layout.path(name)}

    def walk(value: Any) -> Any:
        """Of what holds no script, the very same object: that is most of it."""
        if isinstance(value, list):
            items = [walk(item) if isinstance(item, BRANCHES) else item for item in value]
            return items if any(map(is_not, items, value)) else value
        changed = {key: new for key, item in value.items() if isinstance(item, BRANCHES) and (new := part(key, item)) is not item}
        return {**value, **changed} if changed else value

    def part(key: str, item: Any) -> Any:
        if key == CODE:
            return named(item)
        return {name: named(code) for name, code in item.items()} if key == CODES else walk(item)

    return [walk(resource) for resource in resources], dict(sorted(found.items()))
