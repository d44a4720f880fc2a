"""Audit actions: a webhook that is told what happened to a request. They never change the result."""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MaxLen, MinLen
from pydantic import Field

from crds.base import Model
from crds.fields import GoDuration, HeaderName, HeaderValue2048, Key63, Str
from crds.laws import Law, at_most_one

_FREE_FORM = {"x-kubernetes-preserve-unknown-fields": True}
_TIMEOUT = {
    "x-kubernetes-validations": [
        {
            "rule": "duration(self) >= duration('500ms') && duration(self) <= duration('30s')",
            "message": "timeout must be between 500ms and 30s",
        }
    ]
}


class AuditBody(Model):
    """What the webhook's request carries: a JSON object or text, or nothing."""

    laws: ClassVar[tuple[Law, ...]] = (at_most_one("json", "text"),)

    json_: Annotated[dict[Str, Any] | None, Field(alias="json", json_schema_extra=_FREE_FORM)] = None
    """An object whose string values are Go templates; sent as application/json."""
    text: Annotated[Str, MaxLen(8192)] | None = None
    """A Go template; sent as text/plain."""


class AuditHeader(Model):
    """One header of the webhook's request."""

    name: HeaderName
    """The header's name."""
    value: HeaderValue2048
    """A Go template that gives the header's value."""


class AuditRequest(Model):
    """The webhook's request."""

    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """The HTTP method."""
    headers: tuple[AuditHeader, ...] = ()
    """Headers that are sent after the default Content-Type."""
    body: AuditBody | None = None
    """The body; empty when left out."""


class AuditWebhook(Model):
    """Where an event is sent."""

    url: Annotated[Str, MinLen(1), MaxLen(2048)]
    """A Go template that gives an absolute http or https URL."""
    request: AuditRequest | None = None
    """The request; a POST without body when left out."""
    timeout: Annotated[GoDuration, Field(json_schema_extra=_TIMEOUT)] = "2s"
    """How long one attempt may take, 500ms to 30s."""


class AuditAction(Model):
    """One kind of event that is sent to a webhook."""

    name: Key63
    """Tells the action apart in its list."""
    when: Annotated[Str, MaxLen(1024)] = ""
    """A CEL expression that says whether the event is sent; empty means always."""
    webhook: AuditWebhook
    """Where the event is sent."""
