"""What a CONNECT or an SNI alone decides, rule by rule: host and port are known, the rest of the request is not.

The decision is `dataplane.interception`'s, which is what Envoy is given; here it gets words. What is admitted to an intercepted
host is judged again inside, by the evaluator.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from dataplane.interception import Handling, refused_by_name
from dataplane.refusals import connect_status
from policy.matching import mismatch
from policy.program import Rule, Selection
from policy.request import Request
from policy.verdict import Outcome, RuleTrace, Verdict

LATER = {
    Handling.INTERCEPT: "needs more than host and port: judged inside the tunnel",
    Handling.PASS: "this host's TLS is passed through unread: only rules on host and port hold",
    Handling.REFUSE: "needs a look inside TLS, and no certificate can name this host",
}


def judged_by_name(selection: Selection, host: str, port: int, handling: Handling) -> Verdict:
    refusing = refused_by_name(selection.rules, host, port, handling)
    traces = tuple(name_traces(selection.rules, host, port, refusing, handling))
    if refusing is not None and refusing.block is not None:
        status, body = connect_status(refusing.block.status), refusing.block.body
        return Verdict(outcome=Outcome.BLOCKED, status=status, body=body, reason="Blocked", rules=traces, decided_by=refusing.id)
    if handling is Handling.REFUSE:
        return Verdict(outcome=Outcome.BLOCKED, status=403, reason="InterceptionUnavailable", rules=traces)
    bypass = next((trace for trace in traces if trace.acted), None)
    if bypass is None:
        return Verdict(outcome=Outcome.PASSTHROUGH, rules=traces)
    return Verdict(outcome=Outcome.BYPASSED, rules=traces, decided_by=f"{bypass.profile}/{bypass.rule}")


def name_traces(rules: Iterable[Rule], host: str, port: int, refusing: Rule | None, handling: Handling) -> Iterator[RuleTrace]:
    """Each rule up to the one that decides."""
    shown = Request(method="CONNECT", scheme="https", host=host, port=port, path="")
    for rule in rules:
        reason = mismatch(replace(rule, match=tuple(replace(e, paths=(), methods=(), headers=(), query=()) for e in rule.match)), shown)
        by_name = mismatch(replace(rule, match=tuple(entry for entry in rule.match if not entry.needs_request)), shown) is None
        decides = rule is refusing or (rule.bypass and by_name)
        why = reason or _why(rule, handling, by_name=by_name, decides=decides)
        yield RuleTrace(profile=str(rule.profile), rule=rule.name, matched=by_name, acted=decides, engine=rule.engine, why=why)
        if decides:
            return


def _why(rule: Rule, handling: Handling, *, by_name: bool, decides: bool) -> str:
    if not by_name or not rule.terminal:
        return LATER[handling]
    if rule.bypass:
        return "bypass: no later rule is asked"
    if decides and rule.block:
        return f"block: refused with {connect_status(rule.block.status)}"
    return "an earlier bypass may still let the request through: judged inside the tunnel"
