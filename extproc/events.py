"""What Envoy tells about one request, and what it is told: plain values, one step of the stream each.

The protocol is Envoy's `envoy.service.ext_proc.v3.ExternalProcessor`; `edge.messages` turns its messages into these and back.
Text is Latin-1, one character a byte. Nothing here is shown with values in it: headers may hold credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto


class Phase(Enum):
    """The part of a request or response that a message speaks of."""

    REQUEST_HEADERS = auto()
    REQUEST_BODY = auto()
    REQUEST_TRAILERS = auto()
    RESPONSE_HEADERS = auto()
    RESPONSE_BODY = auto()
    RESPONSE_TRAILERS = auto()


class BodyMode(Enum):
    """How Envoy passes the request's body on. UNKNOWN: an Envoy that does not say."""

    UNKNOWN = auto()
    NONE = auto()
    STREAMED = auto()
    BUFFERED = auto()
    BUFFERED_PARTIAL = auto()
    FULL_DUPLEX = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """`lines` are as Envoy has them, pseudo-headers too. `attributes` are those of the ext_proc filter alone."""

    lines: tuple[tuple[str, str], ...] = field(repr=False)
    end: bool = True
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    body_mode: BodyMode = BodyMode.UNKNOWN
    sends_ahead: bool = False
    """The body comes without waiting for the answer to the headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A part of the request's body, or all of it."""

    data: bytes = field(repr=False)
    end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailers:
    """The request's trailers: its body is complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A part of the response. `status` comes with its headers."""

    phase: Phase
    status: int | None = None
    data: bytes = field(default=b"", repr=False)
    end: bool = True
    duplex: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What was awaited did not come in time. Envoy says nothing of the kind: whoever waits does."""


Event = Headers | Body | Trailers | Response | Late


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Goes on as it is. `buffer` asks for the whole body instead of what the filter was configured for."""

    phase: Phase
    buffer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutate:
    """Goes on changed. `verdict` and `rule` are for the access log, `acted` too: a line for each rule that changed something."""

    phase: Phase
    set: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove: tuple[str, ...] = ()
    verdict: str = ""
    rule: str = ""
    acted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A part of a body in full duplex, sent on as it came."""

    phase: Phase
    data: bytes = field(repr=False)
    end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Is answered at once. `reason` and `rule` are for the access log."""

    status: int
    body: bytes
    content_type: str
    reason: str
    rule: str = ""
    pod: str = ""
    """NAMESPACE/NAME where it is known and no rule was asked: for the audit log."""


Answer = Continue | Mutate | Stream | Refuse
