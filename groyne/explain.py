"""`groyne explain`: what would become of a request, without sending it. The evaluator judges; the plan says what Envoy can see.

Where the plan cannot carry out what the policy means (a host that no certificate can name needs a look inside TLS), the
answer is what Envoy would do: refuse.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dataplane.compile import Plan, make_plan
from dataplane.interception import Handling, refused_by_name
from dataplane.literals import refused_literal
from groyne.output import Exit
from groyne.workspace import Workspace
from policy.evaluate import escaped_slash_hosts, evaluate
from policy.normalise import normalise
from policy.program import Rule, Selection
from policy.refusal import standard_body
from policy.request import Malformed, RawRequest, Request
from policy.verdict import Outcome, RuleTrace, Verdict

HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One request's answer. `secret` headers are shown as `***` unless the caller asks for them."""

    request: RawRequest
    verdict: Verdict
    body: str | None
    intercepted: bool
    because: tuple[str, ...] = ()

    @property
    def exit_code(self) -> Exit:
        return Exit.REFUSED if self.verdict.outcome is Outcome.BLOCKED else Exit.OK

    def as_json(self, *, reveal: bool = False) -> dict[str, Any]:
        verdict = self.verdict
        shown = {n: HIDDEN if n in verdict.secret_headers and not reveal else v for n, v in verdict.set_headers}
        return {
            "verdict": verdict.outcome.value,
            "status": verdict.status,
            "body": self.body,
            "reason": verdict.reason,
            "setHeaders": shown,
            "removeHeaders": list(verdict.remove_headers),
            "intercepted": self.intercepted,
            "interceptedBecause": list(self.because),
            "rules": [rule_json(trace) for trace in verdict.rules],
        }


def rule_json(trace: RuleTrace) -> dict[str, Any]:
    return {
        "profile": trace.profile,
        "rule": trace.rule,
        "matched": trace.matched,
        "acted": trace.acted,
        "engine": trace.engine.value,
        "why": trace.why,
    }


class Explainer:
    """Answers for one workspace; the plan is made once."""

    def __init__(self, workspace: Workspace, allowed_literals: frozenset[str] = frozenset()) -> None:
        self._workspace = workspace
        self._allowed = allowed_literals
        self._plan: Plan = make_plan(workspace.selection, workspace.template_passthrough)

    def explain(self, raw: RawRequest) -> Explanation:
        selection = self._workspace.selection
        request = normalise(raw, escaped_slash_hosts(selection))
        verdict = evaluate(selection, raw, credentials=self._workspace.credentials.values)
        if isinstance(request, Malformed):
            return Explanation(request=raw, verdict=verdict, body=self._body(raw, verdict, raw.authority), intercepted=False)
        if reason := refused_literal(request.host, self._allowed):
            refused = Verdict(outcome=Outcome.BLOCKED, status=403, reason=reason)
            return Explanation(request=raw, verdict=refused, body=self._body(raw, refused, request.host), intercepted=False)
        host = self._plan.host(request.host)
        secure = request.scheme == "https"
        if secure and host.handling is not Handling.INTERCEPT:
            verdict = self._by_name(selection, request, host.handling)
        return Explanation(
            request=raw,
            verdict=verdict,
            body=self._body(raw, verdict, request.host, request.path),
            intercepted=secure and host.handling is Handling.INTERCEPT,
            because=host.because if secure else (),
        )

    def _by_name(self, selection: Selection, request: Request, handling: Handling) -> Verdict:
        """End-to-end TLS shows host and port only."""
        rule = refused_by_name(selection.rules, request.host, request.port)
        traces = tuple(name_traces(selection.rules, request, rule))
        if rule is not None and rule.block is not None:
            return Verdict(
                outcome=Outcome.BLOCKED, status=rule.block.status, body=rule.block.body, reason="Blocked", rules=traces, decided_by=rule.id
            )
        if handling is Handling.REFUSE:
            return Verdict(outcome=Outcome.BLOCKED, status=403, reason="InterceptionUnavailable", rules=traces)
        bypassed = next((trace for trace in traces if trace.acted), None)
        outcome = Outcome.BYPASSED if bypassed else Outcome.PASSTHROUGH
        return Verdict(outcome=outcome, rules=traces, decided_by=f"{bypassed.profile}/{bypassed.rule}" if bypassed else "")

    def _body(self, raw: RawRequest, verdict: Verdict, host: str, path: str | None = None) -> str | None:
        if verdict.outcome is not Outcome.BLOCKED or verdict.body is not None:
            return verdict.body
        rule = next((rule for rule in self._workspace.selection.rules if rule.id == verdict.decided_by), None)
        if verdict.reason == "CredentialUnavailable":
            rule = None
        shown = raw.path.partition("?")[0] if path is None else path
        return standard_body(host=raw.authority or host, method=raw.method, path=shown, reason=verdict.reason, rule=rule)


def name_traces(rules: Iterable[Rule], request: Request, refused_by: Rule | None) -> Iterator[RuleTrace]:
    """Each rule up to the one that decides, by host and port alone."""
    for rule in rules:
        entries = [e for e in rule.match if any(d.matches(request.host) for d in e.domains) and (not e.schemes or "https" in e.schemes)]
        entries = [entry for entry in entries if not entry.ports or request.port in entry.ports]
        by_name = any(not entry.needs_request for entry in entries)
        decides = rule is refused_by or (rule.bypass and by_name)
        why = _why(rule, matched=bool(entries), by_name=by_name)
        yield RuleTrace(profile=str(rule.profile), rule=rule.name, matched=by_name, acted=decides, engine=rule.engine, why=why)
        if decides:
            return


def _why(rule: Rule, *, matched: bool, by_name: bool) -> str:
    if not matched:
        return "host, port or scheme does not match"
    if not by_name:
        return "this host's TLS is passed through unread: only rules on host and port hold"
    if rule.bypass:
        return "bypass: no later rule is asked"
    return (
        f"block: refused with {rule.block.status}" if rule.block else "this host's TLS is passed through unread: headers stay as they are"
    )


def parse_request(text: str, headers: Iterable[str], body: str = "") -> RawRequest | str:
    """`METHOD URL`, or a URL alone for GET; the request, or a sentence on how to write it."""
    method, _, url = text.strip().rpartition(" ")
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return f"--request {text!r}: write 'METHOD URL' with an absolute http or https URL, for example 'GET https://api.github.com/user'"
    end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
    path = rest[end:] or "/"
    pairs = []
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            return f"--header {name!r}: write 'Name: value'"
        pairs.append((latin(name.strip()), latin(value.strip())))
    target = path if path.startswith("/") else "/" + path
    return RawRequest(
        method=latin(method.strip() or "GET"),
        scheme=scheme.lower(),
        authority=latin(rest[:end]),
        path=latin(target),
        headers=tuple(pairs),
        body=body.encode(),
    )


def latin(text: str) -> str:
    """What a client sends for this text: its UTF-8 bytes, one character each."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def read_request(line: str) -> RawRequest | str:
    """One request as JSON: method, scheme, authority, path, headers (pairs), body."""
    try:
        fields = json.loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(fields, dict):
        return "not a JSON object"
    try:
        pairs = fields.get("headers") or []
        listed = pairs.items() if isinstance(pairs, dict) else pairs
        return RawRequest(
            method=latin(text_of(fields, "method", "GET")),
            scheme=text_of(fields, "scheme", "https").lower(),
            authority=latin(text_of(fields, "authority", "")),
            path=latin(text_of(fields, "path", "/")),
            headers=tuple((latin(str(name)), latin(str(value))) for name, value in listed),
            body=text_of(fields, "body", "").encode(),
        )
    except (TypeError, ValueError):
        return "fields are method, scheme, authority, path and body as text, and headers as a list of [name, value]"


def text_of(fields: dict[str, Any], name: str, default: str) -> str:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise TypeError(name)
    return value
