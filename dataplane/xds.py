"""Envoy's JSON vocabulary: the few shapes from which every resource here is built.

Resources are plain dicts under one alias, in the form that Envoy reads from files; the binary itself validates them.
"""

from collections.abc import Sequence
from typing import Any

Resource = dict[str, Any]

TYPE = "type.googleapis.com/"
HTTP = "envoy.filters.http."
NETWORK = "envoy.filters.network."


def message(kind: str, /, **fields: Any) -> Resource:
    """A google.protobuf.Any of the given message type."""
    return {"@type": TYPE + kind, **fields}


def extension(name: str, kind: str, /, **fields: Any) -> Resource:
    """A TypedExtensionConfig, and the `name` + `typed_config` pair of filters and the like."""
    return {"name": name, "typed_config": message(kind, **fields)}


def text(value: str) -> str:
    """Latin-1 text (one character a byte) as the protobuf string that carries the same bytes."""
    return value.encode("latin-1").decode("utf-8")


def literal(value: str) -> str:
    """Text inside a format string: `%` starts a command there."""
    return value.replace("%", "%%")


def file_source(path: str, watched_directory: str | None) -> Resource:
    """A file that Envoy re-reads when it is replaced by rename, or when something is moved into the watched directory."""
    watched: Resource = {"watched_directory": {"path": watched_directory}} if watched_directory else {}
    return {"path_config_source": {"path": path, **watched}, "resource_api_version": "V3"}


def discovery_response(version: str, resources: Sequence[Resource]) -> Resource:
    return {"version_info": version, "resources": list(resources)}


def header_input(name: str) -> Resource:
    """Reads a request header, several lines joined with a comma. No header: no data, and the predicate is false."""
    return extension("header", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name)
