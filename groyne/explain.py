"""`groyne explain`: what would become of a request, without sending it. The evaluator judges; the plan says what Envoy can see.

A request by https goes the way that it takes through the proxy: its CONNECT is judged by host and port alone; inside, where that
is looked at, by the evaluator. Where the plan cannot carry out what the policy means (a host that no certificate can name
needs a look inside TLS), the answer is what Envoy would do: refuse. No name is resolved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dataplane.compile import Plan, make_plan
from dataplane.interception import Handling
from dataplane.limits import too_many_slots
from dataplane.literals import refused_literal
from groyne.engines import why_extproc
from groyne.explain_input import CONNECT, readable
from groyne.explain_name import judged_by_name
from groyne.output import Exit
from groyne.resolve_option import Pins
from groyne.workspace import Workspace
from policy.domains import DomainPattern
from policy.evaluate import escaped_slash_hosts, evaluate
from policy.normalise import normalise
from policy.program import Rule
from policy.refusal import standard_body
from policy.request import Malformed, RawRequest, Request
from policy.verdict import Outcome, RuleTrace, Verdict

HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One request's answer; `because` are the rules for which the host is intercepted, `detail` says what is malformed."""

    request: RawRequest
    verdict: Verdict
    body: str | None
    intercepted: bool = False
    because: tuple[str, ...] = ()
    detail: str = ""
    engines: Mapping[str, str] = field(default_factory=dict)
    """Why a rule is for ext-proc, by its id."""

    @property
    def exit_code(self) -> Exit:
        return Exit.REFUSED if self.verdict.outcome is Outcome.BLOCKED else Exit.OK

    def as_json(self, *, reveal: bool = False) -> dict[str, Any]:
        """Credentials are `***` unless they are asked for."""
        verdict = self.verdict
        shown = {n: HIDDEN if n in verdict.secret_headers and not reveal else readable(v) for n, v in verdict.set_headers}
        return {
            "verdict": verdict.outcome.value,
            "status": verdict.status,
            "body": self.body,
            "reason": verdict.reason,
            "detail": self.detail,
            "setHeaders": shown,
            "removeHeaders": list(verdict.remove_headers),
            "intercepted": self.intercepted,
            "interceptedBecause": list(self.because),
            "rules": [rule_json(trace, self.engines) for trace in verdict.rules],
        }


def rule_json(trace: RuleTrace, engines: Mapping[str, str]) -> dict[str, Any]:
    because = engines.get(f"{trace.profile}/{trace.rule}")
    return {
        "profile": trace.profile,
        "rule": trace.rule,
        "matched": trace.matched,
        "acted": trace.acted,
        "engine": trace.engine.value,
        "why": trace.why,
        **({"engineBecause": because} if because else {}),
    }


class Explainer:
    """Answers for one workspace; the plan is made once."""

    def __init__(self, workspace: Workspace, pins: Pins) -> None:
        self._workspace = workspace
        self._selection = workspace.selection
        self._pins = pins
        self._plan: Plan = make_plan(workspace.selection, workspace.template_passthrough)
        self._overfull = {(found.host.pattern.text, found.scheme) for found in too_many_slots(self._plan)}

    def explain(self, raw: RawRequest) -> Explanation:
        if raw.method != CONNECT and raw.scheme == "http":
            return self._judged(raw)
        asked = connect_around(raw)
        tunnel = normalise(asked)
        if isinstance(tunnel, Malformed):
            return self._answered(raw, malformed(tunnel), asked, detail=tunnel.detail)
        host = self._plan.host(tunnel.host)
        verdict = self._address(tunnel) or judged_by_name(self._selection, tunnel.host, tunnel.port, host.handling)
        intercepted = host.handling is Handling.INTERCEPT and verdict.outcome is not Outcome.BLOCKED
        if intercepted and raw.method != CONNECT and not certified(host.pattern, tunnel.host):
            refused = replace(verdict, outcome=Outcome.BLOCKED, reason="CertificateCannotName", decided_by="")
            return self._answered(raw, refused, asked, intercepted=True, because=host.because, detail=one_label(host.pattern))
        if intercepted and raw.method != CONNECT:
            return self._judged(raw, tunnel=tunnel.host, because=host.because)
        return self._answered(raw, verdict, asked, intercepted=intercepted, because=host.because)

    def _judged(self, raw: RawRequest, *, tunnel: str = "", because: tuple[str, ...] = ()) -> Explanation:
        """A request that Envoy reads, in the clear or inside an intercepted tunnel."""
        request = normalise(raw, escaped_slash_hosts(self._selection))
        if isinstance(request, Malformed):
            return self._answered(
                raw, malformed(request), hosts_joined(raw), detail=request.detail, intercepted=bool(tunnel), because=because
            )
        verdict = self._address(request)
        if tunnel and request.host != tunnel:
            verdict = Verdict(outcome=Outcome.BLOCKED, status=421, reason="HostMismatch")
        verdict = verdict or self._room(request, "https" if tunnel else "http")
        verdict = verdict or evaluate(self._selection, raw, credentials=self._workspace.credentials.values, issued=as_if_issued)
        return self._answered(raw, verdict, request, intercepted=bool(tunnel), because=because)

    def _address(self, request: Request) -> Verdict | None:
        """The refusal of an address that may not be dialled, as far as it is known without asking a resolver."""
        ports = self._pins.ports.get(request.host)
        if refused_literal(request.host, self._pins.literals) or (ports and request.port not in ports):
            return Verdict(outcome=Outcome.BLOCKED, status=403, reason="AddressRefused")
        return None

    def _room(self, request: Request, scheme: str) -> Verdict | None:
        """Where more headers are changed than there is room for, no rule is carried out by halves."""
        if (self._plan.host(request.host).pattern.text, scheme) not in self._overfull:
            return None
        return Verdict(outcome=Outcome.BLOCKED, status=503, reason="TooManyHeaderRules")

    def _answered(self, raw: RawRequest, verdict: Verdict, seen: Request | RawRequest, **more: Any) -> Explanation:
        """`seen` is what the answer quotes."""
        body = verdict.body if verdict.body is None else readable(verdict.body)
        # Without a status it is the client that ends it, and nobody answers.
        if verdict.outcome is Outcome.BLOCKED and body is None and verdict.status:
            decided_by = "" if verdict.reason == "CredentialUnavailable" else verdict.decided_by
            rule = next((rule for rule in self._selection.rules if rule.id == decided_by), None)
            path = "" if seen.method == CONNECT else seen.path.partition("?")[0]
            body = standard_body(host=seen.authority, method=seen.method, path=path, reason=verdict.reason, rule=rule)
        engines = {rule.id: why for rule in self._selection.rules if (why := why_extproc(rule))}
        return Explanation(request=raw, verdict=verdict, body=body, engines=engines, **more)


def as_if_issued(rule: Rule) -> dict[str, str] | None:
    """Nothing is sent, so no provider is asked: what it would issue is not known, and shown as any credential."""
    return dict.fromkeys(rule.exchange.form.keys, HIDDEN) if rule.exchange else None


def certified(pattern: DomainPattern, host: str) -> bool:
    """Whether a client takes the pattern's certificate for the host's: a wildcard is one label to it."""
    return not pattern.is_wildcard or host.count(".") == pattern.text.count(".")


def one_label(pattern: DomainPattern) -> str:
    return f"clients that verify refuse the certificate for {pattern.text}, which covers one label: name the host"


def connect_around(raw: RawRequest) -> RawRequest:
    """What a client asks the proxy first: a tunnel to the host and port of its URL."""
    if raw.method == CONNECT:
        authority = raw.authority if raw.path in {"", "/"} else raw.path
    else:
        authority = raw.authority if ":" in raw.authority.rpartition("]")[2] else raw.authority + ":443"
    return RawRequest(method=CONNECT, scheme="http", authority=authority, path="")


def hosts_joined(raw: RawRequest) -> RawRequest:
    """As Envoy shows a request with several Host lines."""
    more = (value.strip(" \t") for name, value in raw.headers if name.lower() == "host")
    return replace(raw, authority=",".join((raw.authority, *more)))


def malformed(found: Malformed) -> Verdict:
    return Verdict(outcome=Outcome.BLOCKED, status=found.status, reason=found.reason)
