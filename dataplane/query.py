"""Conditions on query parameters and on unescaped paths: a Lua filter reads both, because route matchers only read headers.

A request whose query may name a parameter that the host's rules ask for is first given a route on which the filter runs;
likewise one with an escaped slash, to a host that may have them and has blocks. The filter writes internal headers and has the
route chosen anew; conditions read those headers. For all other requests, which are nearly all, a parameter is an absent header.
"""

from collections.abc import Iterable

from dataplane import names, refusals, scripts
from dataplane.entries import Entry
from dataplane.hosts import HostRule
from dataplane.matching import quoted
from dataplane.predicates import all_of, any_of, header, header_regex, negation
from dataplane.tools import LUA_PER_ROUTE, waiting_slots
from dataplane.xds import Resource, extension, message, text


def parameters(host_rules: Iterable[HostRule]) -> list[str]:
    """Names that conditions ask for, each once, in order."""
    return sorted({condition.name for host_rule in host_rules for entry in host_rule.entries for condition in entry.query})


def blocks_paths(host_rules: Iterable[HostRule]) -> bool:
    return any(host_rule.rule.block and entry.paths for host_rule in host_rules for entry in host_rule.entries)


def unread_query(host_rules: list[HostRule], wanted: list[str], *, unescape: bool) -> Entry:
    """The route of requests whose target has yet to be read. It never forwards."""
    concerned = [header_regex(":path", naming(wanted))] if wanted else []
    concerned += [header(names.PATH_HEADER, contains=spelling, ignore_case=True) for spelling in ("%2f", "%5c")] if unescape else []
    unread = all_of((any_of(concerned), negation(header_regex(names.QUERY_HEADER, r"\C+"))))
    route = refusals.builtin("QueryNotRead", 503)
    judged = any(host_rule.rule.mcp for host_rule in host_rules)
    waiting = {names.TOOL_LUA: message("envoy.config.route.v3.FilterConfig", config={})} if judged else {}
    route["typed_config"]["typed_per_filter_config"] = {
        names.QUERY_LUA: message(LUA_PER_ROUTE, filter_context={"parameters": [text(name) for name in wanted], "unescape": unescape}),
        **waiting,
        **waiting_slots(host_rules),
    }
    return Entry(condition=unread, action=route)


def naming(wanted: list[str]) -> str:
    """Paths whose query may hold one of these parameters: by its plain name, or by a name with escapes, which the filter decodes."""
    plain = "|".join("".join(map(quoted, name)) for name in wanted)
    return rf"[^?]*\?(?:\C*&)?(?:(?:{plain})(?:[=&]\C*)?|[^=&]*%\C*)"


def query_filter() -> Resource:
    """Off unless a route turns it on."""
    code = {"inline_string": scripts.script("query.lua")}
    return {**extension(names.QUERY_LUA, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code), "disabled": True}
