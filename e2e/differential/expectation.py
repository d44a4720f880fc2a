"""What must become of one request: the evaluator's verdict, and what the place in which Envoy runs adds to it.

The place adds little, and all of it here: a CONNECT is judged by host and port alone; inside, Host must be the CONNECT's host
(421) and no further CONNECT is opened; private addresses are not dialled; what no certificate can name is not intercepted.
"""

import ipaddress
import json
from dataclasses import dataclass, replace

from dataplane.interception import Handling
from e2e.differential.client import Sent, Transport
from e2e.differential.external import issued
from e2e.differential.program import Program
from policy.authority import parse_authority
from policy.evaluate import escaped_slash_hosts, evaluate
from policy.matching import blocks, matches
from policy.normalise import normalise
from policy.program import Block, Match, Rule
from policy.refusal import standard_body
from policy.request import Malformed, RawRequest, Request
from policy.verdict import Outcome, Verdict

Used = tuple[Rule, tuple[Match, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    """What the upstream must receive; `headers` are joined by name, without `host`."""

    method: str
    authority: str
    target: str
    headers: dict[str, str]
    body: bytes
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`forwarded`, or a refusal: its body is bytes, or the standard body's fields.

    `malformed`: Envoy's parsers may also close the connection. `untouched`: TLS goes end to end, and Envoy sees nothing.
    `connect`: the tunnel is refused; where it opens all the same, because an earlier rule might have let the request pass, the
    request in it must meet `otherwise`. `used`: rules that held, each with the entries by which it did; for counting.
    """

    outcome: str
    status: int = 200
    body: bytes | None = None
    fields: dict[str, str] | None = None
    forwarded: Forwarded | None = None
    malformed: bool = False
    untouched: bool = False
    connect: bool = False
    otherwise: "Expected | None" = None
    used: tuple[Used, ...] = ()


def expected(program: Program, sent: Sent) -> Expected:
    verdict = evaluate(program.selection, sent.raw, credentials=program.credentials, issued=issued)
    request = normalise(sent.raw, escaped_slash_hosts(program.selection))
    around = "" if sent.transport is Transport.PLAIN else tunnel_host(sent)
    if sent.connect:
        refused = refused_tunnel(program, sent)
        if refused:
            return replace(refused, otherwise=in_tunnel(program, request, verdict, around))
    return in_tunnel(program, request, verdict, around)


def in_tunnel(program: Program, request: Request | Malformed, verdict: Verdict, around: str) -> Expected:
    """`around` is the tunnel's host, whom TLS in it must name; empty where there is no TLS: HTTP in the clear is judged as such."""
    if around and program.plan.host(around).handling is Handling.PASS:
        return end_to_end(verdict, request, around)
    if isinstance(request, Malformed):
        return Expected(outcome="malformed", status=request.status, malformed=True)
    shown = Shown(host=request.authority, method=request.method, path=request.path)
    if around and request.host != around:
        return Expected(outcome="misdirected", status=421)
    if private(request.host):
        return refusal(shown, Block(status=403), "AddressRefused")
    if request.method == "CONNECT":
        return refusal(shown, Block(status=403), "NestedConnect")
    return of_verdict(program, request, verdict, shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the standard body quotes."""

    host: str
    method: str
    path: str


def of_verdict(program: Program, request: Request, verdict: Verdict, shown: Shown) -> Expected:
    acted = {trace.profile + "/" + trace.rule for trace in verdict.rules if trace.matched}
    matched = [rule for rule in program.selection.rules if rule.id in acted]
    used = tuple((rule, tuple(e for e in rule.match if matches(e, request, blocks=blocks(rule)))) for rule in matched)
    if verdict.outcome is Outcome.BLOCKED:
        decided = verdict.decided_by if verdict.reason != "CredentialUnavailable" else None
        rule = next((rule for rule in program.selection.rules if rule.id == decided), None)
        return refusal(shown, Block(status=verdict.status or 0, body=verdict.body), verdict.reason, rule, used)
    return Expected(outcome=verdict.outcome.value, forwarded=forwarded(request, verdict), used=used)


def refusal(
    shown: Shown, block: Block, reason: str, rule: Rule | None = None, used: tuple[Used, ...] = (), *, connect: bool = False
) -> Expected:
    if block.body is not None:
        return Expected(outcome="blocked", status=block.status, body=block.body.encode("latin-1"), used=used, connect=connect)
    text = standard_body(host=shown.host, method=shown.method, path=shown.path, reason=reason, rule=rule)
    return Expected(outcome="blocked", status=block.status, fields=json.loads(text), used=used, connect=connect)


def forwarded(request: Request, verdict: Verdict) -> Forwarded:
    headers = dict(request.headers)
    headers |= dict(verdict.set_headers)
    for name in verdict.remove_headers:
        headers.pop(name, None)
    return Forwarded(
        method=request.method, authority=request.authority, target=request.target, headers=headers, body=request.body, port=request.port
    )


def tunnel_host(sent: Sent) -> str:
    parsed = parse_authority(sent.connect)
    if parsed is None:
        raise ValueError(f"{sent.connect} is no CONNECT's authority")
    return parsed[0]


def refused_tunnel(program: Program, sent: Sent) -> Expected | None:
    """A CONNECT is judged by host and port: by the first terminal rule that needs no more, unless one before it might bypass.

    A rule that tells somebody decides inside, where there is a request to tell of.
    """
    if isinstance(normalise(RawRequest(method="CONNECT", scheme="http", authority=sent.connect, path=sent.connect)), Malformed):
        return Expected(outcome="malformed", status=400, malformed=True, connect=True)
    host, port = parse_authority(sent.connect) or ("", None)
    shown = Shown(host=sent.connect, method="CONNECT", path="")
    if private(host):
        return refusal(shown, Block(status=403), "AddressRefused", connect=True)
    for rule in program.selection.rules:
        about = [entry for entry in rule.match if concerns(entry, host, port)]
        by_name = tuple(entry for entry in about if not entry.needs_request)
        told = rule.audit and program.plan.host(host).handling is Handling.INTERCEPT
        if by_name and (rule.bypass or (told and rule.terminal)):
            break
        if by_name and rule.block:
            # Its client would take a 2xx for a tunnel.
            block = rule.block if rule.block.status >= 300 else Block(status=403, body=rule.block.body)
            return refusal(shown, block, "Blocked", rule, ((rule, by_name),), connect=True)
        if about and rule.bypass:
            break
    if program.plan.host(host).handling is Handling.REFUSE:
        return refusal(shown, Block(status=403), "InterceptionUnavailable", connect=True)
    return None


def concerns(entry: Match, host: str, port: int | None) -> bool:
    """Whether an entry can hold for TLS to this host and port."""
    named = any(domain.matches(host) for domain in entry.domains)
    return named and (not entry.ports or port in entry.ports) and (not entry.schemes or "https" in entry.schemes)


def end_to_end(verdict: Verdict, request: Request | Malformed, around: str) -> Expected:
    """Nothing looks inside, so nothing in the policy may want to."""
    if isinstance(request, Malformed) or request.host != around or request.method == "CONNECT":
        return Expected(outcome="end to end", untouched=True)
    if verdict.outcome is Outcome.BLOCKED or verdict.set_headers or verdict.remove_headers:
        return Expected(outcome="should have been intercepted", status=0)
    return Expected(outcome="end to end", untouched=True)


def private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return not address.is_global
