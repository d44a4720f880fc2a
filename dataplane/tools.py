"""MCP tool policies: the body is read by a Lua filter, the decision stays in the routes.

A request that such a rule can match is first given a route on which the filter runs. The filter reads the body, judges it
under every tool policy of the host, writes the results into internal headers and has the route chosen anew; now each
policy's denial is one more condition at its rule's place. Envoy's own MCP filter is not used: it only looks at requests
whose Accept header asks for an event stream, so an agent that leaves that out would pass unjudged (see docs/decisions).
"""

from importlib.resources import files

from dataplane import names, refusals
from dataplane.entries import Entry
from dataplane.hosts import HostRule
from dataplane.matching import rule_condition
from dataplane.predicates import Predicate, all_of, any_of, header, header_regex, negation
from dataplane.xds import Resource, extension, message, text

LUA_PER_ROUTE = "envoy.extensions.filters.http.lua.v3.LuaPerRoute"


def tool_judge(host_rules: list[HostRule]) -> dict[str, int]:
    """Each tool rule's number on this host, by rule id."""
    return {host_rule.rule.id: number for number, host_rule in enumerate(rule for rule in host_rules if rule.rule.mcp)}


def tool_denied(number: int) -> Predicate:
    return header(f"{names.TOOL_HEADER}{number}", exact="deny")


def pending(host_rules: list[HostRule], scheme: str, judged: dict[str, int]) -> Entry:
    """The route of requests whose body has yet to be read. It never forwards: the filter answers or has it chosen anew."""
    tool_rules = [host_rule for host_rule in host_rules if host_rule.rule.id in judged]
    asked = any_of(rule_condition(host_rule, scheme) for host_rule in tool_rules)
    unread = negation(header_regex(names.TOOL_HEADER, r"\C+"))
    posts = header(":method", exact="POST", ignore_case=True)
    policies = [policy_context(host_rule) for host_rule in tool_rules]
    route = refusals.builtin("BodyNotRead", 503)
    route["typed_config"]["typed_per_filter_config"] = {
        names.TOOL_LUA: message(LUA_PER_ROUTE, filter_context={"policies": policies})
    }
    return Entry(condition=all_of((posts, asked, unread)), action=route)


def policy_context(host_rule: HostRule) -> Resource:
    policy = host_rule.rule.mcp
    if policy is None:
        raise ValueError(f"rule {host_rule.rule.id} has no tool policy")
    rules = [{"method": rule.method, "tools": [text(tool) for tool in rule.tools], "allow": rule.allow} for rule in policy.rules]
    return {"rules": rules, "default_allow": policy.default_allow, "unsupported_version_deny": policy.unsupported_version_deny}


def tool_filter() -> Resource:
    """Off unless a route turns it on."""
    source = files("dataplane").joinpath("lua/tools.lua").read_text(encoding="utf-8")
    code = {"inline_string": source}
    return {**extension(names.TOOL_LUA, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code), "disabled": True}
