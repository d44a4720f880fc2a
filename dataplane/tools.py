"""MCP tool policies: the body is read by a Lua filter, the decision stays in the routes.

A request that such a rule can match is first given a route on which the filter runs. The filter reads the body, judges it
under every tool policy of the host, writes the results into internal headers and has the route chosen anew; now each
policy's denial is one more condition at its rule's place. Envoy's own MCP filter is not used: it only looks at requests
whose Accept header asks for an event stream, so an agent that leaves that out would pass unjudged (see docs/decisions).
"""

from collections.abc import Mapping

from dataplane import names, refusals, scripts
from dataplane.entries import Entry
from dataplane.hosts import HostRule
from dataplane.matching import rule_condition
from dataplane.predicates import Predicate, all_of, any_of, header, header_regex, negation
from dataplane.xds import Resource, extension, message, text
from policy.program import Rule

LUA_PER_ROUTE = "envoy.extensions.filters.http.lua.v3.LuaPerRoute"


def tool_judge(host_rules: list[HostRule]) -> dict[str, int]:
    """Each tool rule's number on this host, by rule id."""
    return {host_rule.rule.id: number for number, host_rule in enumerate(rule for rule in host_rules if rule.rule.mcp)}


def tool_denied(number: int) -> Predicate:
    return header(f"{names.TOOL_HEADER}{number}", exact="deny")


def pending(host_rules: list[HostRule], scheme: str, judged: Mapping[str, int]) -> Entry:
    """The route of requests whose body has yet to be read. It never forwards: the filter has the route chosen anew."""
    tool_rules = [host_rule for host_rule in host_rules if host_rule.rule.id in judged]
    asked = any_of(rule_condition(host_rule, scheme) for host_rule in tool_rules)
    unread = negation(header_regex(names.TOOL_HEADER, r"\C+"))
    posts = header(":method", exact="POST", ignore_case=True)
    policies = [policy_context(host_rule) for host_rule in tool_rules]
    route = refusals.builtin("BodyNotRead", 503)
    route["typed_config"]["typed_per_filter_config"] = {
        names.TOOL_LUA: message(LUA_PER_ROUTE, filter_context={"policies": policies}),
        **waiting_slots(host_rules),
    }
    return Entry(condition=all_of((posts, asked, unread)), action=route)


def waiting_slots(host_rules: list[HostRule]) -> dict[str, Resource]:
    """Envoy decides by the first route which filters run at all: the slots that a later route may use must be on already.

    A header takes two slots at most: one where it is decided who writes it, one that writes (see dataplane/mutations.py).
    """
    written = {name for host_rule in host_rules for name in written_headers(host_rule.rule)}
    most = min(names.SLOTS, 2 * len(written))
    return {names.slot(position): message("envoy.config.route.v3.FilterConfig", config={}) for position in range(most)}


def written_headers(rule: Rule) -> set[str]:
    literal = {name for name, _ in rule.headers.set} | set(rule.headers.remove) if rule.headers else set()
    return literal | {rule.token.target_header} if rule.token else literal


def policy_context(host_rule: HostRule) -> Resource:
    policy = host_rule.rule.mcp
    if policy is None:
        raise ValueError(f"rule {host_rule.rule.id} has no tool policy")
    rules = [{"method": rule.method, "tools": [text(tool) for tool in rule.tools], "allow": rule.allow} for rule in policy.rules]
    return {"rules": rules, "default_allow": policy.default_allow, "unsupported_version_deny": policy.unsupported_version_deny}


def tool_filter() -> Resource:
    """Off unless a route turns it on."""
    code = {"inline_string": scripts.script("json.lua", "tools.lua")}
    return {**extension(names.TOOL_LUA, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code), "disabled": True}
