"""What arrived → the one `Request` that rules read, or `Malformed`: whatever can be read in two ways is refused before any rule.

It says what Envoy 1.40 forwards, byte for byte, with normalize_path, merge_slashes and strip_trailing_host_dot; the table
in the tests was seen with the real one. Where Envoy itself would leave a doubt (a Host that is none, an escaped slash,
two Host lines joined with a comma), the guards of the generated configuration refuse, and so does this.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from policy.authority import ABSOLUTE_TARGET, VALID_AUTHORITY, parse_authority, without_dot
from policy.domains import DomainPattern
from policy.headers import joined_headers
from policy.paths import has_ambiguous_escape, has_escaped_slash, is_ambiguous, normalised_path, unescaped
from policy.request import Malformed, RawRequest, Request

__all__ = ["VALID_AUTHORITY", "normalise"]

DEFAULT_PORTS = {"http": 80, "https": 443}

_METHODS = (
    "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS"
    " PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK"
    " UNSUBSCRIBE"
)
HTTP1_METHODS = frozenset(_METHODS.split())
"""What Envoy's HTTP/1.1 parser knows; anything else, lower case too, is a bad request there."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_TARGET = re.compile(r"[\x21-\x7e]*\Z")
_TARGET_HTTP2 = re.compile(r"[\x21-\x7e\x80-\xff]*\Z")
_CONNECT = re.compile(r"(?:[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]*\]):[0-9]+\Z")
_CONNECT_HTTP2 = re.compile(r"[^/@]*:[0-9]+\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a request goes: the Host line as sent on, and the target, which starts with `/` unless it is a CONNECT's."""

    authority: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Path:
    path: str = ""
    unescaped: str = ""
    query: tuple[tuple[str, str], ...] = ()
    target: str = ""


_NO_PATH = _Path()


def normalise(raw: RawRequest, escaped_slash_hosts: Collection[DomainPattern] = ()) -> Request | Malformed:
    """`escaped_slash_hosts` are those whose paths may hold `%2f` and `%5c`."""
    headers = joined_headers(raw)
    if isinstance(headers, Malformed):
        return headers
    place = _place(raw)
    if isinstance(place, Malformed):
        return place
    parsed = parse_authority(place.authority)
    if parsed is None:
        return Malformed(reason="MalformedHost", detail="the Host names no host and port")
    host, port = parsed
    if wrong := _method(raw, headers):
        return wrong
    path = _NO_PATH if raw.method == "CONNECT" else _path(place.target, any(pattern.matches(host) for pattern in escaped_slash_hosts))
    if isinstance(path, Malformed):
        return path
    return Request(
        method=raw.method,
        scheme=raw.scheme,
        host=host,
        port=port if port is not None else DEFAULT_PORTS.get(raw.scheme, 0),
        path=path.path,
        unescaped_path=path.unescaped,
        query=path.query,
        target=path.target,
        headers=headers,
        body=raw.body,
        authority=place.authority,
    )


def _path(target: str, slashes_allowed: bool) -> "_Path | Malformed":
    raw_path, mark, query = target.partition("?")
    if "#" in target:
        return Malformed(reason="MalformedPath", detail="a fragment is no part of a request")
    path = normalised_path(raw_path)
    if path is None:
        return Malformed(reason="MalformedPath", detail="the path holds an escaped NUL")
    if is_ambiguous(path):
        return Malformed(reason="AmbiguousPath", detail="the path can be read in two ways")
    if has_escaped_slash(path) and (not slashes_allowed or has_ambiguous_escape(path)):
        return Malformed(reason="EscapedSlash", detail="the path holds %2f or %5c")
    return _Path(path=path, unescaped=unescaped(path), query=parse_query(query) if query else (), target=path + mark + query)


def parse_query(query: str) -> tuple[tuple[str, str], ...]:
    """Names and values percent-decoded, `+` kept, a bad escape as written; no `=` means an empty value."""
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return tuple((percent_decoded(name), percent_decoded(value)) for name, _, value in pairs)


def percent_decoded(text: str) -> str:
    """A NUL becomes two bytes that no text holds: where Envoy reads a parameter a NUL would end it, and hide what follows."""
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] != "00" else "\xc0\x80", text)


def _place(raw: RawRequest) -> _Place | Malformed:
    allowed = _TARGET_HTTP2 if raw.http2 else _TARGET
    if not allowed.match(raw.path):
        return Malformed(reason="MalformedPath", detail="the target holds a control character, a space or a raw byte above 0x7e")
    if raw.method == "CONNECT":
        return _connect(raw)
    if raw.path.startswith("/"):
        return _Place(authority=_host_line(raw), target=raw.path)
    if raw.path == "*" and raw.method == "OPTIONS":
        return Malformed(reason="MalformedPath", status=404, detail="no rule can judge OPTIONS *")
    absolute = None if raw.http2 else ABSOLUTE_TARGET.fullmatch(raw.path)
    if absolute is None:
        return Malformed(reason="MalformedPath", detail="the target is neither a path nor an absolute URL")
    return _absolute(raw, absolute)


def _absolute(raw: RawRequest, absolute: re.Match[str]) -> _Place | Malformed:
    scheme = absolute["scheme"].lower()
    if scheme == "https" and raw.scheme == "http":
        return Malformed(reason="MalformedPath", status=403, detail="an https target on a connection without TLS")
    if scheme not in DEFAULT_PORTS:
        return Malformed(reason="MalformedPath", detail="the target's scheme is neither http nor https")
    if absolute["path"].startswith("?"):
        return Malformed(reason="MalformedPath", status=404, detail="the target has a query but no path")
    return _Place(authority=without_dot(absolute["authority"]), target=absolute["path"] or "/")


def _connect(raw: RawRequest) -> _Place | Malformed:
    if raw.path not in {"", raw.authority} and raw.http2:
        return Malformed(reason="MalformedPath", detail="a CONNECT has no path")
    authority = raw.path or raw.authority
    if not (_CONNECT_HTTP2 if raw.http2 else _CONNECT).match(authority):
        return Malformed(reason="MalformedHost", detail="a CONNECT names host and port")
    return _Place(authority=without_dot(authority), target="")


def _host_line(raw: RawRequest) -> str:
    """Several Host lines are joined with a comma, as Envoy does it, and then name no host; HTTP/2 drops them all."""
    authority = raw.authority if raw.http2 else raw.authority.strip(" \t")
    more: Iterable[str] = () if raw.http2 else (value.strip(" \t") for name, value in raw.headers if name.lower() == "host")
    return without_dot(",".join((authority, *more)))


def _method(raw: RawRequest, headers: tuple[tuple[str, str], ...]) -> Malformed | None:
    if not _TOKEN.match(raw.method) or not (raw.http2 or raw.method in HTTP1_METHODS):
        return Malformed(reason="MalformedMethod", detail="no method that HTTP knows")
    if raw.method == "QUERY" and not dict(headers).get("content-type"):
        return Malformed(reason="MalformedMethod", detail="QUERY needs a content-type")
    return None
