"""One host pattern's rules as a virtual host: malformed requests first, then the first terminal rule, then forwarding.

Everything here is decided when Envoy picks the route, on the request as it arrived. Mutating rules before the terminal
one go along as the chosen route's slots. A credential that is missing under failStrategy Block turns what would have
been forwarded into 503: after every block, because a refusal by rule comes first, and also for bypassed requests.

A rule for ext-proc is like a terminal one: what meets it goes there (`ask`), where the whole selection is walked from its first
rule on. So nothing that rules before it wanted goes along, and a request that meets no such rule never sees ext-proc.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dataplane import names, refusals
from dataplane.entries import Context, Entry, first_match
from dataplane.external import asking, not_asking
from dataplane.guards import guards
from dataplane.hosts import HostRule, virtual_host_domain
from dataplane.matching import credential_condition, parameter_header, rule_condition
from dataplane.mutations import Acting, TooManySlotsError, slot_plan
from dataplane.predicates import Predicate, all_of, any_of, header, header_regex
from dataplane.query import blocks_paths, parameters, unread_query
from dataplane.tools import pending, tool_denied, tool_judge
from dataplane.xds import Resource, extension, message
from policy.domains import DomainPattern
from policy.program import Engine, FailStrategy, Rule

IDLE = "3600s"


@dataclass(slots=True, kw_only=True)
class Pending:
    """What the rules before the next terminal one ask for: their header changes, and credentials that are missing.

    `announced`: the body is read by now, if a tool policy of this host wants it.
    """

    judged: Mapping[str, int]
    parameters: Iterable[str]
    announced: bool = False
    acting: list[Acting] = field(default_factory=list)
    failing: list[Predicate] = field(default_factory=list)

    @property
    def internal(self) -> tuple[str, ...]:
        """Headers of ours that no server is to see."""
        read = (parameter_header(name) for name in self.parameters)
        return (*read, *(f"{names.TOOL_HEADER}{number}" for number in self.judged.values()))


def virtual_host(pattern: DomainPattern, host_rules: Iterable[HostRule], context: Context, first: Iterable[Entry] = ()) -> Resource:
    """`first` are entries that come before the rules, after the checks that hold for every host."""
    applicable = [found for rule in host_rules if (found := rule.for_scheme(context.scheme))]
    own = context.for_host(pattern)
    entries = [*guards(pattern, own), *first, *rule_entries(pattern, applicable, own)]
    filters = {**(pinned_filters() if own.pinned else {}), **waiting_filters(pattern, applicable, own)}
    return {
        "name": pattern.text,
        "domains": [virtual_host_domain(pattern)],
        "matcher": first_match((entry.condition, {"action": entry.action}) for entry in entries),
        **({"typed_per_filter_config": filters} if filters else {}),
    }


def pinned_filters() -> dict[str, Resource]:
    """A host whose address was given by hand is resolved by the filter that judges no address."""
    switch = "envoy.config.route.v3.FilterConfig"
    return {names.DNS_FILTER: message(switch, disabled=True), names.DNS_FILTER + names.PINNED: message(switch, config={})}


def waiting_filters(pattern: DomainPattern, host_rules: list[HostRule], context: Context) -> dict[str, Resource]:
    """Envoy decides by the first route which filters run at all: where that is one that waits, ext-proc's must be there already."""
    waits = any(found.rule.mcp for found in native(host_rules)) or parameters(host_rules) or unescapes(pattern, host_rules, context)
    return not_asking() if waits and context.external and asks(host_rules, context) else {}


def asks(host_rules: list[HostRule], context: Context) -> bool:
    """Whether any request to this host goes to ext-proc."""
    everything = context.external is not None and context.external.everything
    return everything or any(found.rule.engine is Engine.EXTPROC for found in host_rules)


def native(host_rules: list[HostRule]) -> list[HostRule]:
    return [found for found in host_rules if found.rule.engine is Engine.NATIVE]


def unescapes(pattern: DomainPattern, host_rules: list[HostRule], context: Context) -> bool:
    return context.escaped_slashes(pattern) and blocks_paths(host_rules)


def rule_entries(pattern: DomainPattern, host_rules: list[HostRule], context: Context) -> list[Entry]:
    try:
        return list(_rule_entries(pattern, host_rules, context))
    except TooManySlotsError:
        return [Entry(condition=True, action=refusals.builtin("TooManyHeaderRules", 503))]


def fits(pattern: DomainPattern, host_rules: list[HostRule], context: Context) -> bool:
    """Whether there are slots enough for these rules, all of the context's scheme."""
    try:
        list(_rule_entries(pattern, host_rules, context))
    except TooManySlotsError:
        return False
    return True


def _rule_entries(pattern: DomainPattern, host_rules: list[HostRule], context: Context) -> Iterable[Entry]:
    if context.external and context.external.everything:
        yield from ask(True, host_rules, (), context)
        return
    asked, unescape = parameters(host_rules), unescapes(pattern, host_rules, context)
    so_far = Pending(judged=tool_judge(native(host_rules)), parameters=asked)
    if asked or unescape:
        yield unread_query(host_rules, asked, unescape=unescape)
    for host_rule in host_rules:
        rule = host_rule.rule
        condition = rule_condition(host_rule, context.scheme, unescape=unescape and rule.block is not None)
        if condition is False:
            continue
        yield from decisions(host_rule, condition, host_rules, so_far, context)
        if condition is True and (rule.terminal or rule.engine is Engine.EXTPROC):
            return
        if not rule.terminal and rule.engine is Engine.NATIVE:
            so_far.failing += failure(rule, condition, context)
            so_far.acting += acts(host_rule, condition, context)
    yield from forwarding(True, None, so_far, context)


def decisions(host_rule: HostRule, condition: Predicate, host_rules: list[HostRule], so_far: Pending, context: Context) -> Iterable[Entry]:
    """What becomes of requests that one rule ends the search for."""
    rule = host_rule.rule
    if rule.engine is Engine.EXTPROC:
        yield from ask(condition, host_rules, so_far.internal, context)
    elif rule.bypass:
        yield from forwarding(condition, rule, so_far, context)
    elif rule.block:
        yield Entry(condition=condition, action=refusals.by_rule(rule, rule.block, "Blocked"))
    elif rule.mcp:
        if not so_far.announced:
            yield pending(native(host_rules), context.scheme, so_far.judged)
            so_far.announced = True
        denied = all_of((condition, tool_denied(so_far.judged[rule.id])))
        yield Entry(condition=denied, action=refusals.by_rule(rule, rule.mcp.deny, "ToolDenied"))


def acts(host_rule: HostRule, condition: Predicate, context: Context) -> list[Acting]:
    rule = host_rule.rule
    if rule.token and rule.id not in context.available:
        rule = replace(rule, token=None)
    if not (rule.headers or rule.token):
        return []
    return [Acting(host_rule=HostRule(rule=rule, entries=host_rule.entries), condition=condition)]


def failure(rule: Rule, condition: Predicate, context: Context) -> list[Predicate]:
    """When this rule's missing credential refuses the request."""
    if rule.token is None or rule.id in context.available or rule.token.fail_strategy is not FailStrategy.BLOCK:
        return []
    return [credential_condition(condition, rule.token.when)]


def forwarding(condition: Predicate, bypass: Rule | None, so_far: Pending, context: Context) -> Iterable[Entry]:
    missing = all_of((condition, any_of(so_far.failing)))
    yield Entry(condition=missing, action=refusals.builtin("CredentialUnavailable", 503))
    verdict = refusals.route_name("bypassed", bypass.id) if bypass else refusals.route_name("passed")
    plan = slot_plan(so_far.acting, context.layout)
    yield from onward(condition, verdict, plan.per_filter, (*plan.internal_headers, *so_far.internal), context)


def ask(condition: Predicate, host_rules: list[HostRule], internal: tuple[str, ...], context: Context) -> Iterable[Entry]:
    """Two routes where some rule reads bodies: only what that rule may meet waits for its body."""
    if context.external is None:
        yield Entry(condition=condition, action=refusals.builtin("EngineUnavailable", 503))
        return
    renewing = context.external.settings.renew_on_unauthorized
    answered = any(found.rule.audit or (renewing and found.rule.issued) for found in host_rules)
    reading = any_of(rule_condition(any_query(found), context.scheme) for found in host_rules if found.rule.reads_body)
    whole = all_of((condition, header(":method", exact="POST", ignore_case=True), reading))
    verdict = refusals.route_name("extproc")
    for wanted, body in ((whole, True), (condition, False)):
        yield from onward(wanted, verdict, asking(context.external, body=body, answered=answered), internal, context)


def any_query(host_rule: HostRule) -> HostRule:
    """Whatever the query says: where ext-proc decides everything, nobody has read it yet."""
    return replace(host_rule, entries=tuple(replace(entry, query=()) for entry in host_rule.entries))


def onward(
    condition: Predicate, verdict: str, per_filter: Mapping[str, Resource], internal: tuple[str, ...], context: Context
) -> Iterable[Entry]:
    suffix = names.PINNED if context.pinned else ""
    target = (names.TLS_CLUSTER if context.scheme == "https" else names.PLAIN_CLUSTER) + suffix
    if context.scheme == "https":
        upgraded = forward(verdict, names.TLS_HTTP1_CLUSTER + suffix, per_filter, internal)
        yield Entry(condition=all_of((condition, header_regex("upgrade", r"\C+"))), action=upgraded)
    yield Entry(condition=condition, action=forward(verdict, target, per_filter, internal))


def forward(name: str, cluster: str, per_filter: Mapping[str, Resource], internal_headers: tuple[str, ...]) -> Resource:
    """No total time-out: language models fall silent for minutes. Only an hour without a byte ends a stream."""
    route: Resource = {"cluster": cluster, "timeout": "0s", "idle_timeout": IDLE}
    more: Resource = {"typed_per_filter_config": dict(per_filter)} if per_filter else {}
    if internal_headers:
        more["request_headers_to_remove"] = list(internal_headers)
    return extension("route", refusals.ROUTE, name=name, match={"prefix": ""}, route=route, **more)
