"""Why an event was not delivered: few words, which are a counter's labels."""

from enum import StrEnum


class Reason(StrEnum):
    QUEUE_FULL = "queue_full"
    """Too many wait already, for this receiver or altogether."""
    WHEN = "when_eval"
    """The condition gave no value."""
    URL = "render_url"
    """The URL's template gave no text, or none that is an absolute http or https URL."""
    HEADERS = "render_headers"
    BODY = "render_body"
    TOO_LARGE = "body_too_large"
    """More than 64 KiB: half a document is none."""
    ADDRESS = "address_refused"
    """The host leads to an address that no webhook may have."""
    UNREACHABLE = "unreachable"
    """No connection, or one that broke."""
    TIMEOUT = "timeout"
    STATUS = "status"
    """The receiver answered with something other than 2xx."""
    SHUTDOWN = "shutdown"
    """The process ended first."""
    INTERNAL = "internal"
    """A bug of ours."""


class Dropped(Exception):  # noqa: N818 — what happened to an event, not a bug
    """Says its word and nothing of the event."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason
