"""A request as the policy sees it: already normalised, or refused before any rule because it can be read in two ways.

`RawRequest` is what arrived; `normalise` answers a `Request`, or a `Malformed` with the status (400) and the reason.
Text is Latin-1: one character a byte.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """As on the wire: `scheme` http or https, `authority` the Host line or target, `path` with its query; header names as sent."""

    method: str
    scheme: str
    authority: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What conditions read. `host` is canonical, `port` explicit or the scheme's, `path` without query, header lines joined with a comma."""

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """Refused with `status` before any rule."""

    reason: str
    status: int = 400
