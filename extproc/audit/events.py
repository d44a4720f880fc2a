"""What became of a request → one event for each hook of each rule that took part.

An event holds what its hook may read, and no more: the body is left behind at once, since thousands of events may wait.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from extproc.identity import Caller
from extproc.stream import Resolved
from policy.program import AuditHook, Rule
from policy.request import Request
from policy.variables import Inputs, PodFacts
from policy.verdict import Outcome, Verdict

ERROR = "error"
DECIDED = frozenset({"Blocked", "ToolDenied"})
"""Reasons of refusals that a rule meant. Any other is an error: a credential that was not to be had, a body that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """`status` is what the client got; None where no answer came. `size` is about what it takes in memory."""

    rule: Rule
    hook: AuditHook
    request: Request = field(repr=False)
    pod: PodFacts
    inputs: Inputs = field(repr=False)
    result: str
    status: int | None
    size: int = 0


def events_of(resolved: Resolved) -> Iterator[AuditEvent]:
    """In the order of the rules."""
    if resolved.request is None or resolved.walked is None:
        return
    rules = [rule for rule in resolved.walked.matched if rule.audit]
    if not rules:
        return
    request = replace(resolved.request, body=b"")
    size = size_of(request)
    for rule in rules:
        for hook in rule.audit:
            yield AuditEvent(
                rule=rule, hook=hook, request=request, pod=facts(resolved.caller), inputs=resolved.inputs.get(rule.profile, {}),
                result=result_of(resolved.verdict), status=resolved.status, size=size,
            )  # fmt: skip


def result_of(verdict: Verdict) -> str:
    refused = verdict.outcome is Outcome.BLOCKED and verdict.reason not in DECIDED
    return ERROR if refused else verdict.outcome.value


def facts(caller: Caller | None) -> PodFacts:
    if caller is None:
        return PodFacts()
    return PodFacts(namespace=caller.identity.namespace, name=caller.pod, ip=caller.address, labels=caller.identity.labels)


def size_of(request: Request) -> int:
    pairs = sum(len(name) + len(value) + 100 for name, value in (*request.headers, *request.query))
    return 2000 + pairs + 3 * len(request.target)
