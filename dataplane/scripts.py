"""Lua scripts as files of their own, where many listeners hold the same ones.

In: listeners with their scripts inlined. Out: the same listeners naming files, and these files. In a pod's Secret each script
then stands once, not once for each HTTP manager of each set of listeners. A file is named by its content: another script is another
listener, which Envoy then reads anew, and old listeners never meet a new script.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from dataplane.secrets import Layout
from dataplane.xds import Resource

CODE = "default_source_code"
CODES = "source_codes"


def apart(resources: Iterable[Resource], layout: Layout) -> tuple[list[Resource], dict[str, str]]:
    files: dict[str, str] = {}

    def named(code: Resource) -> Resource:
        text = code["inline_string"]
        name = f"lua-{hashlib.sha256(text.encode()).hexdigest()[:16]}.lua"
        files[name] = text
        return {"filename": layout.path(name)}

    def walk(value: Any) -> Any:
        if isinstance(value, list):
            return [walk(item) for item in value]
        if not isinstance(value, dict):
            return value
        found = {key: walk(item) for key, item in value.items() if key not in {CODE, CODES}}
        if CODE in value:
            found[CODE] = named(value[CODE])
        if CODES in value:
            found[CODES] = {name: named(code) for name, code in value[CODES].items()}
        return found

    return [walk(resource) for resource in resources], dict(sorted(files.items()))
