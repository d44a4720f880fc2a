"""One request as a machine without I/O: events in, answers out.

  Headers ──▶ who is it, what holds, walk ──┬──▶ answered: refused, or sent on as it is or changed
                                            ├──▶ credentials are wanted that are not at hand: `Wanting`; then `credentials`
                                            └──▶ a rule must read the body: buffered (bounded), then walked again

Headers are always decided on headers: a body is only waited for where the walk arrives at a rule that reads it, and where it
cannot be had the request is refused. Everything is decided by the one snapshot that the request began with. After the
decision all that follows is passed on as it came, and no body is kept: streams may live for hours. `Resolved` says, once and at
the end, what became of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from extproc import refusals
from extproc.events import Answer, Body, BodyMode, Continue, Event, Headers, Late, Mutate, Phase, Refuse, Response, Stream, Trailers
from extproc.identity import Caller
from extproc.requests import read_request
from extproc.snapshot import View
from policy.evaluate import from_secrets
from policy.finish import finish
from policy.mcp import MAX_BODY
from policy.program import ProfileRef, Rule, SecretRef
from policy.request import Malformed, Request
from policy.variables import Inputs
from policy.verdict import Outcome, Verdict
from policy.walk import End, Walked, walk

UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanting:
    """The request goes on if these rules' credentials are to be had: fetch them, then call `Machine.credentials`."""

    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What became of a request, for audit and metrics. `status` is the upstream's answer, or the refusal's; None if none came."""

    caller: Caller | None
    request: Request | None
    walked: Walked | None
    verdict: Verdict
    status: int | None
    credentials_failed: tuple[str, ...] = ()
    inputs: Mapping[ProfileRef, Inputs] = field(default_factory=dict, repr=False)
    """Those of the snapshot that decided."""
    began: float = 0.0
    took: float = 0.0
    """When the headers came, by a monotonic clock, and the seconds from there to the answer."""
    looked_up: tuple[str, ...] = ()
    """How issued credentials were found."""
    headers: Headers | None = None
    """As they came: of a request that could not be read they are all there is."""


Answers = list[Answer]


@dataclass(slots=True, kw_only=True)
class Machine:
    """`overrides`: the filter lets us ask for the body where it was not configured to send it."""

    caller: Caller
    view: View
    overrides: bool = False
    headers: Headers | None = None
    request: Request | None = None
    walked: Walked | None = None
    verdict: Verdict | None = None
    waiting_for: Phase | None = None
    """The phase whose answer is due and not given yet."""
    body: bytearray = field(default_factory=bytearray)
    chunks: list[Body] = field(default_factory=list)
    owed: list[Answer] = field(default_factory=list)
    """Answers that are due after the one to the headers, unless that refuses."""
    status: int | None = None
    on_unauthorized: list[Callable[[], object]] = field(default_factory=list)
    """Called where the host refuses what was issued for this request."""
    began: float = 0.0
    took: float = 0.0
    """When the headers came, and the seconds from there to the answer, as whoever drives this has measured."""
    looked_up: list[str] = field(default_factory=list)

    def on(self, event: Event) -> Answers | Wanting:
        match event:
            case Headers():
                return self.begin(event)
            case Body():
                return self.more(event)
            case Trailers():
                return self.trailers()
            case Response():
                return self.response(event)
            case Late():
                return self.unreadable("BodyNotRead")

    def begin(self, headers: Headers) -> Answers | Wanting:
        if self.headers is not None:
            return self.unreadable("RepeatedHeaders")
        self.headers = headers
        request = read_request(headers, self.view.escaped_slash_hosts)
        if isinstance(request, Malformed):
            self.verdict = Verdict(outcome=Outcome.BLOCKED, status=request.status, reason=request.reason)
            self.status = request.status
            return [refusals.unread(headers, request.reason, request.status)]
        self.request = request
        self.waiting_for = Phase.REQUEST_HEADERS
        return self.judge(body_known=headers.end)

    def judge(self, *, body_known: bool) -> Answers | Wanting:
        request = self.known_request
        self.walked = walk(self.view.rules(request.host), request, body_known=body_known)
        if self.walked.end is End.BODY_WANTED:
            return self.wait_for_body()
        wanted = tuple(rule for rule in self.walked.wanted if rule.exchange and not isinstance(rule.exchange.source, SecretRef))
        return Wanting(rules=wanted) if wanted else self.credentials({})

    def wait_for_body(self) -> Answers:
        headers = self.headers
        mode = headers.body_mode if headers else BodyMode.UNKNOWN
        if mode is BodyMode.FULL_DUPLEX or (mode is BodyMode.STREAMED and headers and headers.sends_ahead):
            return []
        if mode is BodyMode.BUFFERED or self.overrides:
            self.waiting_for = Phase.REQUEST_BODY
            return [Continue(phase=Phase.REQUEST_HEADERS, buffer=mode is not BodyMode.BUFFERED)]
        # Of an Envoy that does not say how bodies come nobody knows whether the headers would still be there to be changed.
        return self.unreadable("BodyNotRead")

    def credentials(self, issued: Mapping[str, Mapping[str, str] | None]) -> Answers:
        """`issued` by rule id: what the providers gave."""
        walked, request = self.known_walk, self.known_request
        values = from_secrets(self.view.selection, self.view.credentials, lambda rule: issued.get(rule.id))
        self.verdict = finish(self.view.selection, walked, request, values)
        answer = self.answer(self.verdict, walked)
        answers: Answers = [answer] if isinstance(answer, Refuse) else [answer, *self.held_back(), *self.owed]
        self.forget_body()
        return answers

    def answer(self, verdict: Verdict, walked: Walked) -> Answer:
        phase = self.waiting_for or Phase.REQUEST_HEADERS
        self.waiting_for = None
        if verdict.outcome is Outcome.BLOCKED:
            self.status = verdict.status
            return refusals.by_verdict(verdict, self.known_request, self.known_headers, walked.by)
        return Mutate(
            phase=phase,
            set=(*verdict.set_headers, *(((":path", verdict.target),) if verdict.target else ())),
            remove=verdict.remove_headers,
            verdict=verdict.outcome.value,
            rule=verdict.decided_by,
            acted=acted(verdict, walked),
        )

    def held_back(self) -> Answers:
        """In full duplex the body is ours to send on."""
        chunks, self.chunks = self.chunks, []
        duplex = self.known_headers.body_mode is BodyMode.FULL_DUPLEX
        if duplex:
            return [Stream(phase=Phase.REQUEST_BODY, data=chunk.data, end=chunk.end) for chunk in chunks]
        return [Continue(phase=Phase.REQUEST_BODY) for _ in chunks]

    def more(self, body: Body) -> Answers | Wanting:
        if self.headers is None:
            return self.unreadable("BodyBeforeHeaders")
        if self.verdict is not None:
            self.chunks = [body]
            return self.held_back()
        if self.walked is None or self.walked.end is not End.BODY_WANTED:
            self.chunks.append(body)
            return []
        if self.waiting_for is not Phase.REQUEST_BODY:
            self.chunks.append(body)
        # One byte more than can be judged is kept, so that the policy sees that it is too long.
        self.body += body.data[: MAX_BODY + 1 - len(self.body)]
        # A buffered body is whole, and has no end where trailers follow it.
        whole = self.waiting_for is Phase.REQUEST_BODY and self.known_headers.body_mode is BodyMode.BUFFERED
        if body.end or whole or len(self.body) > MAX_BODY:
            return self.read()
        # One that we asked for is cut off, or the filter does not let us ask.
        return self.unreadable("BodyNotRead") if self.waiting_for is Phase.REQUEST_BODY else []

    def read(self) -> Answers | Wanting:
        self.request = replace(self.known_request, body=bytes(self.body))
        self.body.clear()
        return self.judge(body_known=True)

    @property
    def holding(self) -> bool:
        """A body is awaited, and what has come of it is kept here rather than with Envoy."""
        awaited = self.walked is not None and self.walked.end is End.BODY_WANTED
        return awaited and self.verdict is None and self.waiting_for is Phase.REQUEST_HEADERS

    def forget_body(self) -> None:
        self.body.clear()
        self.chunks, self.owed = [], []
        if self.request is not None and self.request.body:
            self.request = replace(self.request, body=b"")

    def trailers(self) -> Answers | Wanting:
        if self.headers is None:
            return self.unreadable("BodyBeforeHeaders")
        passed: Answers = [Continue(phase=Phase.REQUEST_TRAILERS)]
        if self.verdict is not None:
            return passed
        if self.walked is None or self.walked.end is not End.BODY_WANTED or self.waiting_for is Phase.REQUEST_BODY:
            # No body came that was waited for, and at its trailers a request's headers cannot be changed any more.
            return self.unreadable("BodyNotRead")
        self.owed = passed
        return self.read()

    def response(self, response: Response) -> Answers:
        if response.phase is Phase.RESPONSE_HEADERS and response.status is not None:
            self.status = response.status
            for drop in self.on_unauthorized if response.status == UNAUTHORIZED else ():
                drop()
        return passed(response)

    def unreadable(self, reason: str) -> Answers:
        """Whatever does not fit the protocol, or cannot be had, is refused: nothing is let through unread."""
        self.verdict = Verdict(outcome=Outcome.BLOCKED, status=refusals.UNAVAILABLE, reason=reason)
        self.status = refusals.UNAVAILABLE
        self.forget_body()
        headers = self.headers or Headers(lines=())
        return [refusals.unread(headers, reason, refusals.UNAVAILABLE)]

    def resolved(self) -> Resolved | None:
        """None where the client went away before anything was decided."""
        if self.verdict is None:
            return None
        return Resolved(
            caller=self.caller,
            request=self.request,
            walked=self.walked,
            verdict=self.verdict,
            status=self.status,
            credentials_failed=tuple(name for name, _ in self.verdict.failed),
            inputs=self.view.inputs,
            began=self.began,
            took=self.took,
            looked_up=tuple(self.looked_up),
            headers=self.headers,
        )

    @property
    def known_headers(self) -> Headers:
        return self.headers or Headers(lines=())

    @property
    def known_request(self) -> Request:
        if self.request is None:
            raise ValueError("no request was read")
        return self.request

    @property
    def known_walk(self) -> Walked:
        if self.walked is None:
            raise ValueError("no rule was asked")
        return self.walked


def acted(verdict: Verdict, walked: Walked) -> str:
    """As Envoy's own access log names what native rules did."""
    without = dict(verdict.failed)
    lines = [f"headers:{visit.rule.id}" for visit in walked.visits if visit.acted and not visit.rule.terminal]
    lines += [f"credential:{rule.id}" for rule in walked.wanted if rule.id not in without]
    return "\n".join(lines)


def passed(response: Response) -> Answers:
    """An answer goes on as it is."""
    if response.duplex:
        return [Stream(phase=response.phase, data=response.data, end=response.end)]
    return [Continue(phase=response.phase)]
