"""What can go wrong between us and the API server, as one tree. Whoever calls decides by class, never by text.

    ApiError                 any answer or silence that is no success
      NotFound               404
      AlreadyExists          409 AlreadyExists, on create
      Conflict               409 otherwise: the object has changed since, or another manager owns the field
      Gone                   410: the resourceVersion or the page's token has expired
      Unauthorized           401: the token is not, or no longer, valid
      Forbidden              403: RBAC, or an admission plugin
      Invalid                400, 422: the server understood and refused the object
      Throttled              429, and 503 with Retry-After: wait at least `retry_after`
      NotLeading             nothing was asked: another may lead by now, so nothing is written
      Unavailable            other 5xx, a broken connection, an answer that is no JSON
        TimedOut             no answer within the deadline: whether a write took effect is not known

A message never holds the body that was sent; what the server answers is cut and, for Secrets, left out.
"""

from collections.abc import Mapping
from typing import Any

LONGEST_MESSAGE = 500


class ApiError(Exception):
    """`status` is 0 where nothing was answered. `reason` is the server's own word, e.g. `Expired`."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message[:LONGEST_MESSAGE])
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFound(ApiError):  # noqa: N818 — Kubernetes' own names for them
    pass


class AlreadyExists(ApiError):  # noqa: N818
    pass


class Conflict(ApiError):  # noqa: N818
    pass


class Gone(ApiError):  # noqa: N818
    pass


class Unauthorized(ApiError):  # noqa: N818
    pass


class Forbidden(ApiError):  # noqa: N818
    pass


class Invalid(ApiError):  # noqa: N818
    pass


class Throttled(ApiError):  # noqa: N818
    pass


class NotLeading(ApiError):  # noqa: N818
    pass


class Unavailable(ApiError):  # noqa: N818
    pass


class TimedOut(Unavailable):
    pass


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: Invalid,
    422: Invalid,
    429: Throttled,
}


def from_status(
    code: int, body: Mapping[str, Any] | None, *, doing: str, retry_after: float | None = None, secret: bool = False
) -> ApiError:
    """The error for an answer. `doing` says what was asked, e.g. `patch networkpolicies team-a/x`; `body` is a `Status` or what came.

    `secret`: the object asked for holds secrets, so nothing that the server says of it is repeated.
    """
    said = body or {}
    reason = said.get("reason") if isinstance(said.get("reason"), str) else ""
    message = said.get("message") if isinstance(said.get("message"), str) and not secret else ""
    kind = _kind(code, str(reason), retry_after)
    text = f"{doing}: {code} {reason}".rstrip() + (f": {message}" if message else "")
    return kind(text, status=code, reason=str(reason), retry_after=retry_after)


def _kind(code: int, reason: str, retry_after: float | None) -> type[ApiError]:
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExists
    if code == 503 and retry_after is not None:
        return Throttled
    if code >= 500:
        return Unavailable
    return _BY_STATUS.get(code, Invalid if 400 <= code < 500 else Unavailable)
