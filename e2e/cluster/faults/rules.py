"""Which requests, and what becomes of them: values that a test writes down.

A `Rule` matches by what RBAC sees, counts its turns and may leave some to chance; its action is one of those below. The first rule that
matches decides. Actions on a watch act on its lines as they come, also where the watch was there before the rule.
"""

import json
from dataclasses import dataclass, field

from e2e.cluster.faults.asked import Asked


class Action:
    """What is done instead of, or besides, forwarding."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward(Action):
    """As if there were no proxy: to except some requests from a rule further down."""


@dataclass(frozen=True, slots=True)
class Reply(Action):
    """An answer of ours; the API server sees nothing."""

    code: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Status(Action):
    """A failure as the API server words it; `retry_after` in seconds."""

    code: int
    reason: str = ""
    message: str = "by the test's will"
    retry_after: int | None = None

    def reply(self) -> Reply:
        said = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.code,
            "reason": self.reason,
            "message": self.message,
        }
        headers = [("Content-Type", "application/json")]
        if self.retry_after is not None:
            headers.append(("Retry-After", str(self.retry_after)))
        return Reply(self.code, json.dumps(said).encode(), tuple(headers))


@dataclass(frozen=True, slots=True)
class Delay(Action):
    seconds: float
    then: Action = field(default_factory=Forward)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(Action):
    """No answer, ever. `committed`: the API server was asked, and did it."""

    committed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Action):
    """The connection ends without an answer. `committed`: the API server was asked, and did it."""

    committed: bool = False


@dataclass(frozen=True, slots=True)
class Truncate(Action):
    """The connection ends after so many bytes of the answer's body."""

    length: int


@dataclass(frozen=True, slots=True)
class Stale(Action):
    """A list as it was at that resourceVersion, by the API server itself: what one that lags behind would say."""

    resource_version: str


@dataclass(frozen=True, slots=True)
class Insert(Action):
    """A line into a watch, before each line that the rule matches: garbage, an ERROR, what is too long."""

    line: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Twice(Action):
    """Each line of a watch comes twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLine(Action):
    """A watch ends in the middle of a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence(Action):
    """A watch stays open and says nothing more, as if its other end had lost power."""


ON_LINES = (Insert, Twice, CutLine, Silence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An empty field matches all. `skip` so many first, then act `times` (0: always), each with `chance`.

    Several verbs or resources are separated by commas. Rules on lines of a watch count lines, all others requests.
    """

    action: Action
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    user_agent: str = ""
    skip: int = 0
    times: int = 0
    chance: float = 1.0

    def matches(self, asked: Asked) -> bool:
        wanted = ((self.verb, asked.verb), (self.resource, asked.resource), (self.subresource, asked.subresource))
        exact = ((self.namespace, asked.namespace), (self.name, asked.name))
        return (
            all(not listed or found in listed.split(",") for listed, found in wanted)
            and all(not named or named == found for named, found in exact)
            and self.user_agent in asked.user_agent
        )
