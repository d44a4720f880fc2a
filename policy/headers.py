"""Header lines → what conditions read: names in lower case, several lines joined, what concerns one connection left out.

HTTP/1.1 joins with a comma, HTTP/2's cookie crumbs with `; `, as Envoy does it before its matchers look. Headers that the
client's Connection header names are gone before any rule, and never reach the upstream either.
"""

import re
from itertools import dropwhile
from operator import not_

from policy.request import Malformed, RawRequest

HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"})
"""Between client and proxy only: no condition can read them."""

WRITTEN_BY_PROXY = frozenset(
    {"expect", "http2-settings", "trailer", "x-forwarded-client-cert", "x-forwarded-for", "x-forwarded-proto", "x-request-id"}
)
"""Envoy sets or answers these itself, so that what the client sent is no ground for a rule."""

WRITTEN_BY_PROXY_PREFIXES = ("x-envoy-", "x-groyne-")

ONE_LINE = frozenset(
    {
        "accept", "accept-encoding", "access-control-request-headers", "access-control-request-method",
        "access-control-request-private-network", "authorization", "cache-control", "cdn-loop", "content-encoding", "content-type",
        "expect", "grpc-accept-encoding", "grpc-timeout", "if-match", "if-modified-since", "if-none-match", "if-range",
        "if-unmodified-since", "origin", "pragma", "proxy-status", "referer", "user-agent", "via", "x-client-trace-id",
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-request-id",
    }
)  # fmt: skip
"""Headers that Envoy joins as they arrive, leaving out empty lines; of any other header an empty line stays an empty element."""

MAX_NOMINATED = 9
"""Envoy refuses a Connection header that names more."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_REFERER = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][\x21\x22\x24-\x7e]*)?"
    r"|[A-Za-z0-9!$%&'()*+,.;=?@_~-]*(?:/[A-Za-z0-9!$%&'()*+,./:;=?@_~-]*)?"
)
"""A URL, or a reference relative to one, without user and fragment: Envoy drops a referer that is anything else."""

_HOST_HTTP2 = re.compile(r"[A-Za-z0-9.~!$&'()*+,;=:%\[\]_-]+\Z")
_UNTOUCHABLE = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
_NOT_NOMINATED = frozenset({"close", "http2-settings", "te"})


def joined_headers(raw: RawRequest) -> tuple[tuple[str, str], ...] | Malformed:
    """In order of first appearance; `host` is not among them."""
    lines: dict[str, list[str]] = {}
    for name, value in raw.headers:
        if not _NAME.match(name) or not _VALUE.match(value):
            return _malformed("a header has a name or a value that HTTP does not allow")
        if raw.http2 and (name != name.lower() or value != value.strip(" \t")):
            return _malformed("HTTP/2 allows no upper case in a header's name and no space around its value")
        lines.setdefault(name.lower(), []).append(value.strip(" \t"))
    dropped = _dropped(lines, raw)
    if isinstance(dropped, Malformed):
        return dropped
    joined = {name: _joined(name, values, http2=raw.http2) for name, values in lines.items() if name not in dropped}
    return tuple((name, value) for name, value in joined.items() if value is not None and not _lost(name, value))


def _lost(name: str, value: str) -> bool:
    return name == "referer" and not _REFERER.fullmatch(value)


def _joined(name: str, values: list[str], *, http2: bool) -> str | None:
    """None where nothing is left of HTTP/2's cookie crumbs: empty ones at the front are lost."""
    if name == "cookie" and http2:
        return "; ".join(dropwhile(not_, values)) or None
    return ",".join(filter(None, values) if name in ONE_LINE else values)


def _dropped(lines: dict[str, list[str]], raw: RawRequest) -> frozenset[str] | Malformed:
    if raw.http2:
        if HOP_BY_HOP & lines.keys() - {"te"} or any(value != "trailers" for value in lines.get("te", ())):
            return _malformed("HTTP/2 allows no header that concerns one connection")
        if any(not _HOST_HTTP2.match(value) for value in lines.get("host", ())) or len(lines.get("host", ())) > 1:
            return _malformed("a host header beside :authority that names no host, or more than one")
        return HOP_BY_HOP | {"host"}
    nominated = [token for line in lines.get("connection", ()) for part in line.split(",") if (token := part.strip(" \t").lower())]
    if "upgrade" in nominated and any(value.lower() == "websocket" for value in lines.get("upgrade", ())):
        # The Connection header goes on with the upgrade, and what it names with it.
        nominated = []
    # An absolute target brings the host anew.
    untouchable = _UNTOUCHABLE | {"host"} if raw.path.startswith("/") else _UNTOUCHABLE
    if len(nominated) > MAX_NOMINATED or any(token in untouchable or token.startswith(":") for token in nominated):
        return _malformed("the Connection header names what it must not, or too much")
    if {"content-length", "transfer-encoding"} <= lines.keys():
        return _malformed("the body's length is given twice")
    return (frozenset(nominated) - _NOT_NOMINATED) | HOP_BY_HOP | {"host"}


def _malformed(detail: str) -> Malformed:
    return Malformed(reason="MalformedHeader", detail=detail)


def is_written_by_proxy(name: str) -> bool:
    """Whether a condition on this header (in lower case) could not read what the client sent."""
    return name in HOP_BY_HOP | WRITTEN_BY_PROXY or name.startswith(WRITTEN_BY_PROXY_PREFIXES)


RESERVED = HOP_BY_HOP | {"host", "content-length", "trailer", "http2-settings"}
"""Headers that say where a request goes or how it is framed: no rule may write them."""

_RESERVED_PREFIXES = (":", "proxy-", "x-envoy-", "x-groyne-")


def is_reserved(name: str) -> bool:
    """Whether no rule may set or remove this header (in lower case)."""
    return name in RESERVED or name.startswith(_RESERVED_PREFIXES)
