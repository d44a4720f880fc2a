"""What a McpToolPolicy says of one request: reads the body as JSON-RPC and answers why it is denied, or None.

Only POST carries calls; a GET opens a stream, a DELETE ends a session, an empty body calls nothing. Of all methods only
`tools/call` is judged. A body that cannot be read with certainty (no JSON, a repeated key, compressed, said to be in another
charset, too long, too deep) is denied, because the server might read a call in it. In a batch one denied call denies all.
No number counts here, so none is converted: a huge one must neither fail nor take long.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from policy.patterns import wire
from policy.program import McpToolPolicy
from policy.request import Request

SUPPORTED_VERSIONS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
MAX_BODY = 256 * 1024
"""Bytes; Envoy must hold this much of a request before it can be judged."""
MAX_DEPTH = 64
CARRIES_CALLS = "POST"
CALL = "tools/call"
LONGEST_SHOWN = 64

_SAYS_UTF_8 = re.compile(r'charset[ \t]*=[ \t]*("?)utf-8\1[ \t]*[;,]')
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)


class _Unclear(Exception):  # noqa: N818 — it never leaves this module
    """The body means nothing certain; the text says why."""


def denial(policy: McpToolPolicy, request: Request) -> str | None:
    """Why the policy denies this request; None where it lets it pass."""
    if request.method.upper() != CARRIES_CALLS or not request.body:
        return None
    try:
        calls = [name for message in _messages(request) for name in _called(message)]
    except _Unclear as unclear:
        return str(unclear)
    if not calls:
        return None
    if request.header("mcp-protocol-version") not in SUPPORTED_VERSIONS:
        return "unsupported MCP-Protocol-Version" if policy.unsupported_version_deny else None
    return next((f"tool {name[:LONGEST_SHOWN]!r} is not allowed" for name in calls if not _allowed(policy, name)), None)


def _allowed(policy: McpToolPolicy, tool: str) -> bool:
    written = wire(tool)
    for rule in policy.rules:
        if rule.method == CALL and (not rule.tools or written in rule.tools):
            return rule.allow
    return policy.default_allow


def _messages(request: Request) -> list[Any]:
    document = _parsed(request)
    messages = document if isinstance(document, list) else [document]
    if not all(isinstance(message, _Object) for message in messages):
        raise _Unclear("the body is no JSON-RPC message")
    return messages


def _called(message: "_Object") -> Iterator[str]:
    method = message.only("method")
    if method != CALL:
        return
    params = message.only("params")
    name = params.only("name") if isinstance(params, _Object) else None
    if not isinstance(name, str):
        raise _Unclear("a tools/call without the name of a tool")
    yield name


def _parsed(request: Request) -> Any:
    if (request.header("content-encoding") or "").strip(" \t").lower() not in {"identity", ""}:
        raise _Unclear("the body is compressed")
    if _other_charset(request.header("content-type") or ""):
        raise _Unclear("the Content-Type names a charset other than UTF-8")
    if len(request.body) > MAX_BODY:
        raise _Unclear("the body is too long to be judged")
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise _Unclear("the body is not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise _Unclear("the body is nested too deep")
    try:
        return json.loads(text, object_pairs_hook=_Object, parse_int=_any_number, parse_float=_any_number, parse_constant=_no_constant)
    except ValueError:
        raise _Unclear("the body is not JSON") from None


def _other_charset(content_type: str) -> bool:
    """A server may go by any mention of a charset, of whatever type: in UTF-7 the same bytes are another call."""
    return "charset" in _SAYS_UTF_8.sub(";", content_type.lower() + ";")


def _depth(text: str) -> int:
    """How deep brackets nest; counted beforehand, since the parser recurses."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _any_number(_digits: str) -> int:
    return 0


def _no_constant(name: str) -> Any:
    raise ValueError(name)


class _Object:
    """A JSON object that remembers repeated keys, which two readers may resolve in two ways."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._pairs = pairs

    def only(self, key: str) -> Any:
        """The value of a key; None where it is not there. Twice, or in other letters that some servers take for it, is unclear."""
        found = [(name, value) for name, value in self._pairs if name.casefold() == key]
        if len(found) > 1 or any(name != key for name, _ in found):
            raise _Unclear(f"the body has a key that can be read as {key!r} in two ways")
        return found[0][1] if found else None
