"""A request as the policy sees it: already normalised, or refused before any rule because it can be read in two ways.

`RawRequest` is what arrived; `normalise` answers a `Request`, or a `Malformed` with the status (mostly 400) and the reason.
Text is Latin-1: one character a byte.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRequest:
    """As on the wire: `authority` is the Host line (in HTTP/2 `:authority`), `path` the request target with its query.

    `scheme` is http or https, by what carried the request and never by what the client says of it: HTTP/2's `:scheme` and
    an absolute target's are the client's to choose. Header names are as sent. `http2` matters for cookies, for bytes
    above 0x7f in the target and for methods that no HTTP/1.1 parser knows.
    """

    method: str
    scheme: str
    authority: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    http2: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What conditions read. `host` is canonical, `port` explicit or the scheme's, `path` without query, header lines joined with a comma.

    `authority` is the Host line as it is sent on, with its port and case: the header `host`. `unescaped_path` differs from
    `path` only for hosts that may have escaped slashes. `query` holds every parameter, percent-decoded, in order.
    A CONNECT has no path: it is empty, and no condition on a path holds.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    authority: str = ""
    unescaped_path: str = ""
    target: str = ""
    """The path with its query, as it is sent on."""

    def header(self, name: str) -> str | None:
        """`name` in lower case; `host` is the authority."""
        if name == "host":
            return self.authority
        return next((value for key, value in self.headers if key == name), None)

    def parameter(self, name: str) -> str | None:
        """The first occurrence of a query parameter."""
        return next((value for key, value in self.query if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """Refused with `status` before any rule."""

    reason: str
    status: int = 400
    detail: str = ""
