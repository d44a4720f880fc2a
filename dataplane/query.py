"""Conditions on query parameters: read by a Lua filter, because Envoy's route matchers can read nothing but headers.

A request with a query, to a host whose rules ask for parameters, is first given a route on which the filter runs. The filter
writes the parameters into internal headers and has the route chosen anew; conditions read those headers.
"""

from collections.abc import Iterable
from importlib.resources import files

from dataplane import names, refusals
from dataplane.entries import Entry
from dataplane.hosts import HostRule
from dataplane.predicates import all_of, header, header_regex, negation
from dataplane.tools import LUA_PER_ROUTE, waiting_slots
from dataplane.xds import Resource, extension, message, text


def parameters(host_rules: Iterable[HostRule]) -> list[str]:
    """Names that conditions ask for, each once, in order."""
    return sorted({condition.name for host_rule in host_rules for entry in host_rule.entries for condition in entry.query})


def unread_query(host_rules: list[HostRule], wanted: list[str]) -> Entry:
    """The route of requests whose query has yet to be read. It never forwards."""
    unread = all_of((header(":path", contains="?"), negation(header_regex(names.QUERY_HEADER, r"\C+"))))
    route = refusals.builtin("QueryNotRead", 503)
    judged = any(host_rule.rule.mcp for host_rule in host_rules)
    waiting = {names.TOOL_LUA: message("envoy.config.route.v3.FilterConfig", config={})} if judged else {}
    route["typed_config"]["typed_per_filter_config"] = {
        names.QUERY_LUA: message(LUA_PER_ROUTE, filter_context={"parameters": [text(name) for name in wanted]}),
        **waiting,
        **waiting_slots(host_rules),
    }
    return Entry(condition=unread, action=route)


def query_filter() -> Resource:
    """Off unless a route turns it on."""
    code = {"inline_string": files("dataplane").joinpath("lua/query.lua").read_text(encoding="utf-8")}
    return {**extension(names.QUERY_LUA, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code), "disabled": True}
