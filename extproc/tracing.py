"""A span for each decision, for those who trace: what became of the request, by which rule, how long it took, and nothing that it held.

In: outcomes as the desk tells them. Out: records in a bounded queue, from which `edge.otlp` sends. A span joins the trace that the request
names in its `traceparent` (W3C Trace Context); its sampling flag is the sandbox's word and does not count, `ratio` does.
Attributes are fixed words, and the names of rules; never a host, a path, a header or a credential.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from extproc.events import Headers, Refuse
from extproc.metrics import OTHER, REASONS, action
from extproc.stream import Resolved
from policy.verdict import Outcome

TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?")
LONGEST = 256
"""Characters of a header that is looked at, and of a rule's name that is told."""
CAPACITY = 4096
RANGE = 1 << 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Times in nanoseconds since 1970."""

    trace: bytes
    span: bytes
    parent: bytes = b""
    begin: int
    end: int
    outcome: str
    reason: str = ""
    rule: str = ""
    actions: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()


class Lost(Protocol):
    def __call__(self, spans: int) -> None: ...


class Tracer:
    """`tell` and `turned_away` never wait. `offset` is what the clock lacks to the time since 1970, in seconds; `random` gives bytes."""

    def __init__(
        self,
        *,
        ratio: float,
        clock: Callable[[], float],
        offset: Callable[[], float],
        random: Callable[[int], bytes],
        lost: Lost,
        capacity: int = CAPACITY,
    ) -> None:
        self._below = int(ratio * RANGE)
        self._clock, self._offset, self._random, self._lost = clock, offset, random, lost
        self._capacity = capacity
        self._waiting: deque[Span] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, most: int) -> list[Span]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def tell(self, outcome: Resolved) -> None:
        context = self._context(outcome.request.headers if outcome.request else ())
        if context is None:
            return
        verdict, walked = outcome.verdict, outcome.walked
        trace, parent = context
        span = Span(
            trace=trace,
            span=self._random(8),
            parent=parent,
            begin=self._moment(outcome.began),
            end=self._moment(outcome.began + outcome.took),
            outcome=verdict.outcome.value,
            reason=known(verdict.reason),
            rule=verdict.decided_by[:LONGEST],
            actions=tuple(dict.fromkeys(action(rule) for rule in walked.matched)) if walked else (),
            cache=tuple(dict.fromkeys(outcome.looked_up)),
        )
        self._keep(span)

    def turned_away(self, headers: Headers, answer: Refuse) -> None:
        context = self._context(headers.lines)
        if context is None:
            return
        now = self._moment(self._clock())
        trace, parent = context
        blocked = Outcome.BLOCKED.value
        self._keep(Span(trace=trace, span=self._random(8), parent=parent, begin=now, end=now, outcome=blocked, reason=known(answer.reason)))

    def _keep(self, span: Span) -> None:
        if len(self._waiting) >= self._capacity:
            self._lost(1)
        else:
            self._waiting.append(span)

    def _context(self, lines: Iterable[tuple[str, str]]) -> tuple[bytes, bytes] | None:
        """The trace and the span above; None where this one is not told of."""
        trace, parent = joined(lines) or (self._random(16), b"")
        return (trace, parent) if int.from_bytes(trace[-7:], "big") < self._below else None

    def _moment(self, seconds: float) -> int:
        return int((seconds + self._offset()) * 1_000_000_000)


def joined(lines: Iterable[tuple[str, str]]) -> tuple[bytes, bytes] | None:
    """None where the request names no trace, or names two."""
    said = [value for name, value in lines if name == "traceparent"]
    found = TRACEPARENT.fullmatch(said[0][:LONGEST]) if len(said) == 1 else None
    return (bytes.fromhex(found[1]), bytes.fromhex(found[2])) if found else None


def known(reason: str) -> str:
    return reason if reason in REASONS or not reason else OTHER
