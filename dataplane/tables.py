"""The three route configurations: `plain` for HTTP in the clear, `tls` for intercepted HTTP, `explicit` for what a proxy client asks.

`explicit` is `plain` with CONNECT in front: judged by host and port, then handed to one of two internal listeners, one
that intercepts and one that passes end-to-end TLS.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from dataplane import names, refusals
from dataplane.entries import Context, Entry, first_match
from dataplane.hosts import HostRule
from dataplane.interception import Handling, HostPlan, name_decisions, passes_unread
from dataplane.predicates import all_of, any_of, header, negation
from dataplane.routes import virtual_host
from dataplane.tools import LUA_PER_ROUTE
from dataplane.xds import Resource, extension, message
from policy.domains import DomainPattern
from policy.program import Rule

ROUTE_CONFIGURATION = "envoy.config.route.v3.RouteConfiguration"
CONNECT = header(":method", exact="CONNECT")
ADDED_BY_ENVOY = ("x-forwarded-proto", "x-envoy-external-address")
Hosts = Mapping[DomainPattern, tuple[HostRule, ...]]
Plans = Mapping[DomainPattern, HostPlan]


def plain_table(hosts: Hosts, context: Context) -> Resource:
    nested = nested_connect()
    return table("plain", (virtual_host(pattern, rules, context, nested) for pattern, rules in hosts.items()))


def explicit_table(hosts: Hosts, plans: Plans, context: Context) -> Resource:
    def one(pattern: DomainPattern, rules: tuple[HostRule, ...]) -> Resource:
        return virtual_host(pattern, rules, context, connect_entries(rules, plans[pattern], context.for_host(pattern)))

    return table(names.EXPLICIT, (one(pattern, rules) for pattern, rules in hosts.items()))


def tls_table(hosts: Hosts, plans: Plans, context: Context) -> Resource:
    """Only intercepted hosts are here; whatever else the decrypted request names is 421."""
    mismatch = {"name": "*", "domains": ["*"], "matcher": first_match([(True, {"action": refusals.anyhow("HostMismatch", 421)})])}
    return table(names.INTERCEPT, chain(intercepted_hosts(hosts, plans, context), [mismatch]))


def intercepted_hosts(hosts: Hosts, plans: Plans, context: Context) -> Iterator[Resource]:
    for pattern, rules in hosts.items():
        if not intercepted(plans[pattern]):
            continue
        host = virtual_host(pattern, rules, context, [*shown_names(pattern), *nested_connect()])
        if pattern.is_wildcard:
            filters = host.setdefault("typed_per_filter_config", {})
            filters[names.NAMES_LUA] = message("envoy.extensions.filters.http.lua.v3.LuaPerRoute", name="names")
        yield host


def intercepted(plan: HostPlan) -> bool:
    return plan.handling is Handling.INTERCEPT


def shown_names(pattern: DomainPattern) -> Iterable[Entry]:
    """Host, SNI and CONNECT authority are one name, or 421. A client without SNI, or a redirected one, shows one name less."""
    if pattern.is_wildcard:
        return
    host = pattern.text
    same = any_of(header(names.NAMES_HEADER, exact=shown) for shown in (f"{host}|{host}", f"{host}|", f"{host}|-", f"|{host}", f"-|{host}"))
    yield Entry(condition=negation(same), action=refusals.anyhow("HostMismatch", 421))


def nested_connect() -> list[Entry]:
    """A CONNECT inside plain or intercepted HTTP opens no tunnel, whatever the rules say."""
    return [Entry(condition=CONNECT, action=refusals.builtin("NestedConnect", 403, connect=True))]


def connect_entries(host_rules: tuple[HostRule, ...], plan: HostPlan, context: Context) -> Iterable[Entry]:
    raw = passes_unread(host_rules)
    for decision in name_decisions(host_rules, plan.handling):
        rule = decision.refused_by
        if rule is not None and rule.block is not None:
            answer = refusals.by_rule(rule, rule.block, "Blocked", connect=True)
            yield Entry(condition=all_of((CONNECT, decision.condition)), action=answer)
        else:
            yield Entry(condition=all_of((CONNECT, decision.condition)), action=admit(plan, context, decision.admitted_by, raw=raw))
    yield Entry(condition=CONNECT, action=admit(plan, context, raw=raw))


def admit(plan: HostPlan, context: Context, bypass: Rule | None = None, *, raw: bool) -> Resource:
    if plan.handling is Handling.REFUSE:
        return refusals.builtin("InterceptionUnavailable", 403, connect=True)
    cluster = names.INTERCEPT if intercepted(plan) else names.PASS + (names.PINNED if context.pinned else "")
    upgrade = {"upgrade_type": "CONNECT", "connect_config": {}}
    route = {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s", "upgrade_configs": [upgrade]}
    filters = {
        names.CONNECT_LUA: message(LUA_PER_ROUTE, filter_context={"raw": raw}),
        names.CONNECT_STATE: message("envoy.config.route.v3.FilterConfig", config={}),
    }
    name = refusals.route_name("tunnel", plan.handling.value, *([bypass.id] if bypass else []))
    return extension("route", refusals.ROUTE, name=name, match={"connect_matcher": {}}, route=route, typed_per_filter_config=filters)


def table(name: str, virtual_hosts: Iterable[Resource]) -> Resource:
    """Its hosts are made when they are asked for, once."""
    internal = [
        names.PATH_HEADER,
        names.NAMES_HEADER,
        names.ID_HEADER,
        names.UNESCAPED_HEADER,
        names.QUERY_HEADER,
        names.TOOL_HEADER,
        *ADDED_BY_ENVOY,
    ]
    return message(
        ROUTE_CONFIGURATION,
        name=name,
        virtual_hosts=virtual_hosts,
        ignore_port_in_host_matching=True,
        max_direct_response_body_size_bytes=1 << 20,
        request_headers_to_remove=internal,
    )
