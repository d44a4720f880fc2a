"""Envoy's header list → the request as the policy reads it, or why nobody can.

Envoy has normalised it already; doing it again costs little, changes nothing then, and holds in a gateway whose settings
are not ours. What concerned the client's connection is Envoy's affair and done with; what our own configuration wrote for
itself (`x-groyne-…`) is not the client's. No rule reads either.
"""

from collections.abc import Collection, Mapping

from extproc.events import Headers
from policy.domains import DomainPattern
from policy.headers import HOP_BY_HOP
from policy.normalise import normalise
from policy.request import Malformed, RawRequest, Request

PROTOCOL = "request.protocol"
OWN = "x-groyne-"
ID = "x-groyne-id"


def read_request(headers: Headers, escaped_slash_hosts: Collection[DomainPattern]) -> Request | Malformed:
    raw = read_raw(headers)
    return raw if isinstance(raw, Malformed) else normalise(raw, escaped_slash_hosts)


def read_raw(headers: Headers) -> RawRequest | Malformed:
    pseudo: dict[str, str] = {}
    lines = []
    for name, value in headers.lines:
        if name.startswith(":"):
            if name in pseudo:
                return Malformed(reason="MalformedHeader", detail="a pseudo-header is there twice")
            pseudo[name] = value
        elif name not in HOP_BY_HOP and not name.startswith(OWN):
            lines += crumbs(value) if name == "cookie" else [(name, value)]
    host = pseudo.get(":authority") or next((value for name, value in lines if name == "host"), "")
    method = pseudo.get(":method", "")
    return RawRequest(
        method=method,
        scheme=pseudo.get(":scheme", "http").lower(),
        authority=host,
        path=host if method == "CONNECT" else pseudo.get(":path", ""),
        headers=tuple(line for line in lines if line[0] != "host"),
        http2=modern(headers.attributes),
    )


def crumbs(cookie: str) -> list[tuple[str, str]]:
    """HTTP/2's cookie lines, which Envoy has put together: empty ones at the end would look like a space that no value may end in."""
    bare = cookie
    while bare.endswith("; "):
        bare = bare.removesuffix("; ")
    return [("cookie", bare), *[("cookie", "")] * ((len(cookie) - len(bare)) // 2)]


def modern(attributes: Mapping[str, str]) -> bool:
    """HTTP/2 and 3 know methods and bytes that HTTP/1.1 does not; where nobody says which it was, they are let through too."""
    return attributes.get(PROTOCOL, "HTTP/2") not in {"HTTP/1.0", "HTTP/1.1"}


def request_id(headers: Headers) -> str:
    return next((value for name, value in headers.lines if name == ID), "")
