"""Which hosts must be intercepted and why, and what a CONNECT or an SNI alone can decide.

A host is intercepted when, for https, a rule that can still be reached needs more than its name and port, or tells somebody
of each request. Everything else stays end-to-end TLS. What no certificate can name (`*`) cannot be intercepted: where a rule needs
it, TLS to such hosts is refused (design decision 9); where one would only tell of it, TLS passes untold.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dataplane.hosts import HostRule
from dataplane.matching import port_condition
from dataplane.predicates import Predicate, any_of
from policy.domains import DomainPattern
from policy.program import Match, Rule


class Handling(StrEnum):
    """What becomes of TLS to a host."""

    PASS = "pass"  # noqa: S105 - not a password
    INTERCEPT = "intercept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passthrough:
    """A host pattern of an annotation, and whether a GlobalSecurityProfile says it."""

    domain: DomainPattern
    of_global: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """`because` names the rules that need to look inside; `unread` those that do but may not, since the host is passed through.

    `untold` are rules that only tell of requests, and hear of none here: no certificate can name these hosts.
    """

    pattern: DomainPattern
    handling: Handling
    because: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameDecision:
    """One step of judging by host and port alone: refuse by this rule, or admit. Neither rule: what is inside is judged.

    `condition` reads an HTTP authority. `ports` says the same to whoever only sees a connection: empty means all, None means never.
    """

    condition: Predicate
    refused_by: Rule | None = None
    admitted_by: Rule | None = None
    ports: tuple[int, ...] | None = ()


def host_plan(pattern: DomainPattern, host_rules: Iterable[HostRule], passthrough: Iterable[Passthrough] = ()) -> HostPlan:
    """Who may write in one namespace does not blind rules that hold for all: only a Global profile's annotation exempts from those."""
    needing = looking_inside(host_rules)
    ids = tuple(rule.id for rule in needing)
    if not needing:
        return HostPlan(pattern=pattern, handling=Handling.PASS)
    of_global = any(rule.of_global for rule in needing)
    if any(passed.domain.covers(pattern) and (passed.of_global or not of_global) for passed in passthrough):
        return HostPlan(pattern=pattern, handling=Handling.PASS, unread=ids)
    if pattern.is_any and not looking_inside(host_rules, told=False):
        return HostPlan(pattern=pattern, handling=Handling.PASS, untold=ids)
    handling = Handling.REFUSE if pattern.is_any else Handling.INTERCEPT
    return HostPlan(pattern=pattern, handling=handling, because=ids)


def looking_inside(host_rules: Iterable[HostRule], *, told: bool = True) -> tuple[Rule, ...]:
    """The reachable rules that need more than host and port; conditional bypasses count if anything follows them.

    `told`: rules that tell of each request are among them.
    """
    needing: list[Rule] = []
    pending: list[Rule] = []
    for host_rule in (found for rule in host_rules if (found := rule.for_scheme("https"))):
        rule = host_rule.rule
        needs = any(entry.needs_request for entry in host_rule.entries)
        if rule.bypass and needs and not (told and rule.audit):
            pending.append(rule)
        elif changes(rule) or rule.mcp or (rule.block and needs) or (told and rule.audit):
            needing += [*pending, rule]
            pending.clear()
        elif rule.block:
            needing += pending
            pending.clear()
        if rule.terminal and any(not entry.needs_request and not entry.ports for entry in host_rule.entries):
            break
    return tuple(needing)


def changes(rule: Rule) -> bool:
    return bool(rule.headers or rule.token or rule.exchange)


def decided_inside(rule: Rule, handling: Handling) -> bool:
    """Whether a rule that could decide by name waits for the request, to tell of it."""
    return bool(rule.audit) and handling is Handling.INTERCEPT


def name_decisions(host_rules: Iterable[HostRule], handling: Handling) -> list[NameDecision]:
    """Judges by name and port; what a conditional bypass may still let through is admitted and judged inside, if somebody looks inside."""
    decisions: list[NameDecision] = []
    may_pass = False
    for host_rule in (found for rule in host_rules if (found := rule.for_scheme("https"))):
        rule = host_rule.rule
        if not rule.terminal:
            continue
        by_name = [entry for entry in host_rule.entries if not entry.needs_request]
        condition = any_of(port_condition(entry.ports, "https") for entry in by_name)
        inside = decided_inside(rule, handling)
        if rule.bypass or inside or not may_pass:
            refused, admitted = (None, None) if inside else (None, rule) if rule.bypass else (rule, None)
            decision = NameDecision(condition=condition, refused_by=refused, admitted_by=admitted, ports=decided_ports(by_name))
            decisions.append(decision)
        may_pass = may_pass or (rule.bypass and handling is not Handling.PASS and len(by_name) < len(host_rule.entries))
        if condition is True:
            break
    return decisions


def passes_unread(host_rules: Iterable[HostRule]) -> bool:
    """Whether bytes of any kind may go to an admitted host: nothing but name and port is judged, alike in TLS and in the clear."""
    rules = list(host_rules)
    changed = any(changes(found.rule) or found.rule.mcp for found in rules)
    return not changed and not any(entry.needs_request or entry.schemes for found in rules for entry in found.entries)


def decided_ports(entries: Iterable[Match]) -> tuple[int, ...] | None:
    wanted = [entry.ports for entry in entries]
    if not wanted:
        return None
    return tuple(sorted({port for ports in wanted for port in ports})) if all(wanted) else ()


def refuses_unjudgeable(rules: Iterable[Rule]) -> bool:
    """Whether what no HTTP rule can judge is refused: some block speaks of `*` without more than ports and schemes (decision 7)."""
    return any(
        rule.block and not rule.bypass and any(d.is_any for d in entry.domains) and not entry.needs_request
        for rule in rules
        for entry in rule.match
    )


def refused_by_name(rules: Iterable[Rule], host: str, port: int, handling: Handling = Handling.INTERCEPT) -> Rule | None:
    """The rule that refuses a tunnel to this host and port now: what `name_decisions` says, for one canonical host."""
    may_pass = False
    for rule in rules:
        entries = [e for e in rule.match if any(d.matches(host) for d in e.domains) and (not e.schemes or "https" in e.schemes)]
        if not rule.terminal or not entries:
            continue
        named = any(not entry.needs_request and (not entry.ports or port in entry.ports) for entry in entries)
        inside = decided_inside(rule, handling)
        if named and (rule.bypass or inside or not may_pass):
            return None if rule.bypass or inside else rule
        may_pass = may_pass or (rule.bypass and handling is not Handling.PASS and any(entry.needs_request for entry in entries))
    return None
