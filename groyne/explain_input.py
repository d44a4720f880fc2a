r"""Requests as people and programs write them → `RawRequest`, or a sentence on how to write one.

Text stands for what a client sends: its UTF-8 bytes, one Latin-1 character each. A byte that is no UTF-8 is written as Python writes it,
a lone surrogate (`\udce9` in JSON, the byte itself on the command line). Whether the request makes sense is not judged here.
"""

import json
from collections.abc import Iterable
from typing import Any

from policy.request import RawRequest

SCHEMES = ("http", "https")
CONNECT = "CONNECT"
FIELDS = "fields are method, scheme (http or https), authority, path and body as text, and headers as a list of [name, value]"


def parse_request(text: str, headers: Iterable[str], body: str = "") -> RawRequest | str:
    """`METHOD URL`, or a URL alone for GET; `CONNECT HOST:PORT` as a client asks a proxy."""
    method, _, url = text.strip().rpartition(" ")
    method = method.strip() or "GET"
    scheme, separator, rest = url.partition("://") if "://" in url or method != CONNECT else ("https", "://", url)
    if not separator or scheme.lower() not in SCHEMES:
        return f"--request {text!r}: write 'METHOD URL' with an absolute http or https URL, for example 'GET https://api.github.com/user'"
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            return f"--header {name!r}: write 'Name: value'"
        pairs.append((latin(name.strip()), latin(value.strip())))
    end = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    return RawRequest(
        method=latin(method),
        scheme=scheme.lower(),
        authority=latin(rest[:end]),
        path=latin(rest[end:] if rest[end:].startswith("/") else "/" + rest[end:]),
        headers=tuple(pairs),
        body=encoded(body),
    )


def read_request(line: str) -> RawRequest | str:
    """One request as a JSON object."""
    try:
        fields = json.loads(line)
    except RecursionError:
        return "not JSON: nested too deep"
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(fields, dict):
        return "not a JSON object: " + FIELDS
    try:
        return _request(fields)
    except (TypeError, ValueError):
        return FIELDS


def _request(fields: dict[str, Any]) -> RawRequest:
    scheme = _text(fields, "scheme", "https").lower()
    if scheme not in SCHEMES:
        raise ValueError(scheme)
    return RawRequest(
        method=latin(_text(fields, "method", "GET")),
        scheme=scheme,
        authority=latin(_text(fields, "authority", "")),
        path=latin(_text(fields, "path", "/")),
        headers=tuple(_pair(*pair) for pair in _listed(fields.get("headers") or [])),
        body=encoded(_text(fields, "body", "")),
    )


def _listed(headers: Any) -> Iterable[Any]:
    return headers.items() if isinstance(headers, dict) else headers


def _pair(name: Any, value: Any) -> tuple[str, str]:
    if not (isinstance(name, str) and isinstance(value, str)):
        raise TypeError(name)
    return latin(name), latin(value)


def _text(fields: dict[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise TypeError(name)
    return value


def encoded(text: str) -> bytes:
    """Raises UnicodeEncodeError, a ValueError, for a surrogate that stands for no byte."""
    return text.encode("utf-8", "surrogateescape")


def latin(text: str) -> str:
    return encoded(text).decode("latin-1")


def readable(latin1: str) -> str:
    """The way back: what a program reads in the answer is what it would write in a request."""
    return latin1.encode("latin-1").decode("utf-8", "surrogateescape")
