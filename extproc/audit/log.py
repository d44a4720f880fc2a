"""The audit log: one line of JSON for each request that a rule matched or that was refused, whoever it was from.

A line names the request by method, host and path, never by query, header or body, and says what became of it, by which rules.
A refusal is called one, also where nobody could tell whose the request was. Lines are written by a thread of their own, since
whoever reads them may stop reading: then a bounded number waits, and what comes besides is dropped and counted.
"""

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TextIO

from extproc.audit.events import DECIDED, result_of
from extproc.audit.metrics import AuditObserver
from extproc.events import Headers
from extproc.identity import Caller
from extproc.stream import Resolved
from policy.verdict import Outcome
from policy.walk import Walked

CAPACITY = 4096
LONGEST = 2048
"""Characters of a path."""

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Whose it is: `pod`, or where pods are not told apart their `template`, both as NAMESPACE/NAME.

    `outcome` is passthrough, mutated, blocked, bypassed or error; `actions` are `block:NAMESPACE/PROFILE/RULE` and the like.

    `failed` are rules whose credential was not to be had. `status` is what the client got, 0 where no answer came.
    """

    pod: str = ""
    template: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    outcome: str
    status: int = 0
    reason: str = ""
    rules: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def line(self, now: datetime) -> str:
        time = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"
        return json.dumps({"time": time, "logger": "audit", "msg": "egress request handled", **asdict(self)}, separators=(",", ":")) + "\n"


def entry_of(resolved: Resolved) -> Entry | None:
    """None where no rule took part and nothing was refused."""
    rules = resolved.walked.matched if resolved.walked else ()
    if not rules and resolved.verdict.outcome is not Outcome.BLOCKED:
        return None
    request, (pod, template) = resolved.request, whose(resolved.caller)
    if request is None:
        # Nothing walked, nothing done: the headers alone tell what it was.
        headers, verdict = resolved.headers or Headers(lines=()), resolved.verdict
        return refused(headers, reason=verdict.reason, status=resolved.status or 0, pod=pod, template=template)
    return Entry(
        pod=pod,
        template=template,
        method=request.method,
        host=request.host,
        path=request.path[:LONGEST],
        outcome=result_of(resolved.verdict),
        status=resolved.status or 0,
        reason=resolved.verdict.reason,
        rules=tuple(rule.id for rule in rules),
        actions=tuple(_actions(resolved, resolved.walked)) if resolved.walked else (),
        failed=resolved.credentials_failed,
    )


def whose(caller: Caller | None) -> tuple[str, str]:
    """Pod and template. Of a caller that has neither name the namespace is told, in the pod's place."""
    if caller is None:
        return "", ""
    named = caller.pod or not caller.template
    return f"{caller.identity.namespace}/{caller.pod}" if named else "", caller.template


def refused(headers: Headers, *, reason: str, status: int, pod: str = "", template: str = "") -> Entry:
    """Of a request that no rule was asked about: what it says of itself, as far as it can be read."""
    said = dict(reversed(headers.lines))
    path = said.get(":path", "").partition("?")[0]
    return Entry(
        pod=pod, template=template, method=said.get(":method", "")[:32],
        host=said.get(":authority", said.get("host", ""))[:255], path=path[:LONGEST],
        outcome=Outcome.BLOCKED.value, status=status, reason=reason,
    )  # fmt: skip


def _actions(resolved: Resolved, walked: Walked) -> Iterator[str]:
    """Those with an effect: a refusal undoes what was changed before it."""
    if resolved.verdict.outcome is Outcome.BLOCKED:
        if walked.by and resolved.verdict.reason in DECIDED:
            yield f"{'block' if walked.by.block else 'mcp'}:{walked.by.id}"
        return
    for visit in walked.visits:
        if visit.rule.bypass:
            yield f"bypass:{visit.rule.id}"
        elif visit.acted:
            yield f"headers:{visit.rule.id}"
        if visit.wanted and visit.rule.id not in resolved.credentials_failed:
            yield f"credential:{visit.rule.id}"


class AuditLog:
    """`tell` and `write` never wait. `close` gives what waits some seconds."""

    def __init__(self, out: TextIO, observer: AuditObserver, *, clock: Clock, capacity: int = CAPACITY) -> None:
        self._out = out
        self._observer = observer
        self._clock = clock
        self._waiting: queue.Queue[str | None] = queue.Queue(capacity)
        # A daemon: a reader who reads no more must not keep the process from ending.
        self._thread = threading.Thread(target=self._pass_on, name="audit log", daemon=True)
        self._thread.start()

    def write(self, entry: Entry | None) -> None:
        if entry is None:
            return
        try:
            self._waiting.put_nowait(entry.line(self._clock()))
        except queue.Full:
            self._observer.not_logged()

    def tell(self, resolved: Resolved) -> None:
        self.write(entry_of(resolved))

    async def close(self, seconds: float) -> None:
        await asyncio.to_thread(self._end, seconds)

    def _end(self, seconds: float) -> None:
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _pass_on(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._out.write(line)
                self._out.flush()
            except (OSError, ValueError):
                self._observer.not_logged()
            else:
                self._observer.logged()
