"""From what the API server answered to what the rest of this package works with: a usable object, or the error that it means.

The server's words are hostile or broken until looked at. What is said of a Secret is never passed on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube.decoding import decode
from kube.errors import ApiError, Unavailable, from_status
from kube.objects import Raw, Resource, key_of

# The one cause that decides what is done next: the server's cache is behind the version that was asked for.
TOO_LARGE = "ResourceVersionTooLarge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What was asked of the server, for the text of an error."""

    doing: str
    resource: Resource


def usable(item: Any, resource: Resource) -> bool:
    """Whether it can be kept under a key. Whatever else is wrong with it is for its readers."""
    if not isinstance(item, dict):
        return False
    key = key_of(item)
    return bool(key.name and (key.namespace or not resource.namespaced))


def named(item: Raw, resource: Resource) -> Raw:
    """Items of a list lack these two, and partial objects call themselves something else."""
    item["apiVersion"], item["kind"] = resource.api_version, resource.kind
    return item


def failure(said: Said, code: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    return error_of(said, code, headers, _status(body))


def error_of(said: Said, code: int, headers: Mapping[str, str], status: Raw) -> ApiError:
    """`code` 0: it stands in `status`, as with an ERROR event of a watch."""
    number = status.get("code")
    code = code or (number if isinstance(number, int) else 500)
    secret = said.resource.plural == "secrets" and not said.resource.group
    words = {**status, "reason": TOO_LARGE} if too_large(status) else status
    if code == 422 and other_object(status):
        code, words = 409, {**status, "reason": "Conflict"}
    return from_status(code, words, doing=said.doing, retry_after=retry_after(headers, status), secret=secret)


def too_large(status: Raw) -> bool:
    known = any(cause.get("reason") == TOO_LARGE for cause in _causes(status))
    return known or "Too large resource version" in str(status.get("message"))


def other_object(status: Raw) -> bool:
    """A patch that names the uid of an earlier object is refused as if it wanted to change the uid."""
    return any(cause.get("field") == "metadata.uid" for cause in _causes(status))


def retry_after(headers: Mapping[str, str], status: Raw) -> float | None:
    """In seconds. The API server writes whole numbers; anything else, a date too, is as if nothing had been said."""
    for said in (headers.get("retry-after"), _details(status).get("retryAfterSeconds")):
        try:
            seconds = float(said)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            continue
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


def _causes(status: Raw) -> list[Raw]:
    found = _details(status).get("causes")
    return [cause for cause in found if isinstance(cause, dict)] if isinstance(found, list) else []


def _details(status: Raw) -> Raw:
    found = status.get("details")
    return found if isinstance(found, dict) else {}


def _status(body: bytes) -> Raw:
    try:
        found = decode(body, doing="")
    except Unavailable:
        return {}
    return found if isinstance(found, dict) else {}
