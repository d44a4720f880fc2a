"""JSON from the API server, read so that no object can stop the reading of the others.

Python's parser gives up on values nested some hundred levels deep, and with it on the whole page or line. Whoever may write one
object could thereby blind us to all. Such text is read a second time with everything too deep replaced by null.
"""

import json
import re
from typing import Any

from kube.errors import Invalid, Unavailable
from kube.objects import Raw

DEEPEST = 100
TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def decode(data: bytes, *, doing: str) -> Any:
    """The message of what is raised holds no part of the text: it may be a secret's."""
    try:
        return _parsed(data)
    except ValueError as error:
        raise Unavailable(f"{doing}: the answer is no JSON ({len(data)} bytes)") from error.with_traceback(None)


def decode_object(data: bytes, *, doing: str) -> Raw:
    found = decode(data, doing=doing)
    if not isinstance(found, dict):
        raise Unavailable(f"{doing}: the answer is no JSON object")
    return found


def encode(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise Invalid("nested too deeply to be sent", status=422, reason="TooDeep") from None


def shallow(data: bytes, deepest: int = DEEPEST) -> bytes:
    """The same text, with every array and object below `deepest` levels written as null."""
    kept: list[bytes] = []
    depth = start = 0
    for token in TOKEN.finditer(data):
        mark = token.group()
        if mark in (b"{", b"["):
            depth += 1
            if depth == deepest + 1:
                kept.append(data[start : token.start()])
        elif mark in (b"}", b"]"):
            if depth == deepest + 1:
                kept.append(b"null")
                start = token.end()
            depth -= 1
    rest = [data[start:]] if depth <= deepest else []  # else it never ends, and is no JSON either way
    return b"".join(kept + rest)


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        return json.loads(shallow(data))
