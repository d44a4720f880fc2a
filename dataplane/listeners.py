"""Listeners, and the HTTP connection managers in them.

Two ways in, one code: `explicit` serves a proxy client on a socket, `redirect` what a pod's rules redirect. Behind them the
same three managers (explicit, plain, tls) with Envoy's edge settings. Listeners name route configurations and never hold
rules: a rule that changes changes no listener (design decision 11).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dataplane import names, scripts
from dataplane.access_log import http_access_log, tcp_access_log
from dataplane.external import External, external_filters
from dataplane.local_replies import local_replies
from dataplane.query import query_filter
from dataplane.secrets import LEAF, Layout, leaf_file
from dataplane.tools import tool_filter
from dataplane.xds import HTTP, NETWORK, Resource, extension, message

LISTENER = "envoy.config.listener.v3.Listener"
HOUR = "3600s"
HANDSHAKE = "10s"
BUFFER = 1 << 20
HTTP2 = {"max_concurrent_streams": 256, "initial_stream_window_size": BUFFER, "initial_connection_window_size": 2 * BUFFER}


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsCache:
    """The cache that all forwarding shares; `resolver` is (address, port) of the only resolver Envoy asks, None for the system's.

    `refused` are ranges that no name may resolve to. `pins` are the addresses that were given by hand: hosts that have them
    use a second cache, which lets nothing else through. `lookup` are the families that names are resolved to, in Envoy's words.
    """

    resolver: tuple[str, int] | None = None
    refused: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    only_pins: bool = False
    lookup: str = "ALL"

    @property
    def ipv4(self) -> "DnsCache":
        """Asks for no IPv6 address and names none: where the kernel has no IPv6, Envoy refuses whatever holds one."""
        refused, pins = (tuple(text for text in texts if ":" not in text) for texts in (self.refused, self.pins))
        return replace(self, refused=refused, pins=pins, lookup="V4_ONLY")

    @property
    def pinned(self) -> "DnsCache":
        return replace(self, refused=(), only_pins=True)

    @property
    def config(self) -> Resource:
        if self.only_pins:
            allowed = [cidr_range(f"{address}/{128 if ':' in address else 32}") for address in self.pins]
            return {**self._config, "name": "pinned", "resolved_address_filter": {"ranges": allowed, "invert_match": True}}
        ranges = [cidr_range(text) for text in self.refused]
        refusing: Resource = {"resolved_address_filter": {"ranges": ranges}} if ranges else {}
        return {**self._config, "name": "names", **refusing}

    @property
    def _config(self) -> Resource:
        shared: Resource = {
            "dns_lookup_family": self.lookup,
            "dns_query_timeout": "6s",
            "host_ttl": "60s",
            "dns_refresh_rate": "30s",
            "dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "5s"},
        }
        if self.resolver is None:
            return shared
        address, port = self.resolver
        cares = extension(
            "envoy.network.dns_resolver.cares",
            "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            resolvers=[socket_address(address, port)],
            dns_resolver_options={"no_default_search_domain": True},
        )
        return {**shared, "typed_dns_resolver_config": cares}


def cidr_range(text: str) -> Resource:
    address, _, length = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(length)}


def socket_address(address: str, port: int) -> Resource:
    return {"socket_address": {"address": address, "port_value": port}}


def explicit_listener(address: Resource, layout: Layout, dns: DnsCache, external: External | None = None) -> Resource:
    filters = [lua_filter(names.CONNECT_LUA, "connect"), connect_state(), *rule_filters(external), *dns_filters(dns)]
    manager = http_manager(names.EXPLICIT, layout, filters, "http", upgrades=("CONNECT", "websocket"), external=external)
    return message(LISTENER, name=names.EXPLICIT, address=address, filter_chains=[{"filters": [manager]}], **limits())


def intercept_listener(layout: Layout, dns: DnsCache, leafs: int, external: External | None = None) -> Resource:
    """Behind CONNECT to an intercepted host: TLS ends here, plain HTTP is judged as such, anything else is closed."""
    chains = [tls_chain(layout, dns, leafs, external), http_chain(layout, dns, external)]
    return internal_listener(names.INTERCEPT, chains, layout)


def pass_listener(layout: Layout, dns: DnsCache, external: External | None = None, *, raw: bool, pinned: bool = False) -> Resource:
    """Behind CONNECT to any other host: TLS whose SNI is the CONNECT's host, plain HTTP, and raw TCP where the policy has it."""
    onward = to_shown_host(dns.pinned, names.TCP_CLUSTER + names.PINNED) if pinned else to_shown_host(dns)
    default = {"default_filter_chain": {"name": names.RAW, "filters": [raw_admitted(), *onward]}} if raw else {}
    name = names.PASS + (names.PINNED if pinned else "")
    return internal_listener(name, [shown_chain(onward), http_chain(layout, dns, external)], layout, **default)


def shown_listener(layout: Layout, dns: DnsCache) -> Resource:
    """`pass` behind a redirect, which hands it nothing but TLS."""
    return internal_listener(names.PASS, [shown_chain(to_shown_host(dns))], layout)


def shown_chain(onward: list[Resource]) -> Resource:
    return {"name": "tls", "filter_chain_match": {"transport_protocol": "tls"}, "filters": [same_name(), *onward]}


def internal_listener(name: str, chains: list[Resource], layout: Layout, **more: object) -> Resource:
    return message(
        LISTENER, name=name, internal_listener={}, filter_chains=chains, listener_filters=inspectors(),
        listener_filters_timeout="5s", continue_on_listener_filters_timeout=True, access_log=tcp_access_log(layout), **limits(), **more,
    )  # fmt: skip


def limits() -> Resource:
    return {"per_connection_buffer_limit_bytes": BUFFER}


def inspectors() -> list[Resource]:
    return [
        extension("envoy.filters.listener.tls_inspector", "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"),
        extension("envoy.filters.listener.http_inspector", "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"),
    ]


def tls_chain(layout: Layout, dns: DnsCache, leafs: int, external: External | None = None) -> Resource:
    filters = [lua_filter(names.NAMES_LUA, "names"), *rule_filters(external), *dns_filters(dns)]
    manager = http_manager(names.INTERCEPT, layout, filters, "https", upgrades=("websocket",), external=external)
    certificates = [{"name": f"{LEAF}-{n}", "sds_config": layout.source(leaf_file(n))} for n in range(leafs)]
    tls = extension(
        "tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": certificates,
        },
        disable_stateless_session_resumption=True,
    )
    return {
        "name": "tls", "filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": tls, "filters": [manager],
        "transport_socket_connect_timeout": HANDSHAKE,
    }  # fmt: skip


def http_chain(layout: Layout, dns: DnsCache, external: External | None = None) -> Resource:
    filters = [*rule_filters(external), *dns_filters(dns)]
    manager = http_manager("plain", layout, filters, "http", upgrades=("websocket",), external=external)
    return {"name": "http", "filter_chain_match": {"application_protocols": ["http/1.0", "http/1.1", "h2c"]}, "filters": [manager]}


def same_name() -> Resource:
    """Envoy dials the CONNECT's host; an SNI that names another one is refused."""
    server_name = {"select_expr": {"operand": {"ident_expr": {"name": "connection"}}, "field": "requested_server_name"}}
    none = call("_==_", server_name, {"const_expr": {"string_value": ""}})
    return only_where("same-name", call("_||_", none, call("_==_", call("bytes", server_name), state_of(names.CONNECT_HOST))))


def raw_admitted() -> Resource:
    """Silence, or bytes that are neither TLS nor HTTP, end here unless nothing but the host's name is ever judged.

    Otherwise a client that says nothing until Envoy stops waiting could then say what would have been judged.
    """
    raw = call("bytes", {"const_expr": {"string_value": names.RAW}})
    return only_where("raw", call("_==_", raw, state_of(names.CONNECT_RAW)))


def state_of(key: str) -> Resource:
    return call("_[_]", {"ident_expr": {"name": "filter_state"}}, {"const_expr": {"string_value": key}})


def only_where(name: str, condition: Resource) -> Resource:
    policy = {"permissions": [{"any": True}], "principals": [{"any": True}], "condition": condition}
    kind = "envoy.extensions.filters.network.rbac.v3.RBAC"
    return extension(NETWORK + "rbac", kind, stat_prefix="names", rules={"action": "ALLOW", "policies": {name: policy}})


def call(function: str, *arguments: Resource) -> Resource:
    return {"call_expr": {"function": function, "args": list(arguments)}}


def to_shown_host(dns: DnsCache, cluster: str = names.TCP_CLUSTER) -> list[Resource]:
    """Resolves and dials the host and port of the CONNECT, which the explicit manager left in filter state.

    Only here, where nobody looks inside: an HTTP request is dialled by its own authority, because that is what was judged.
    """
    values = {names.DYNAMIC_HOST: names.CONNECT_HOST, names.DYNAMIC_PORT: names.CONNECT_PORT}
    states = [
        {"object_key": key, "format_string": {"text_format_source": {"inline_string": f"%FILTER_STATE({source}:PLAIN)%"}}}
        for key, source in values.items()
    ]
    dialled = extension(
        NETWORK + "set_filter_state", "envoy.extensions.filters.network.set_filter_state.v3.Config", on_new_connection=states
    )
    resolve = extension(
        NETWORK + "sni_dynamic_forward_proxy",
        "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        dns_cache_config=dns.config,
        port_value=443,
    )
    proxy = extension(
        NETWORK + "tcp_proxy",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="pass",
        cluster=cluster,
        idle_timeout=HOUR,
    )
    return [dialled, resolve, proxy]


def rule_filters(external: External | None = None) -> list[Resource]:
    """Off unless a route turns them on: an unused slot costs nothing."""
    kind = "envoy.extensions.filters.http.composite.v3.Composite"
    slots = [{**extension(names.slot(position), kind), "disabled": True} for position in range(names.SLOTS)]
    return [query_filter(), tool_filter(), *slots, *(external_filters(external) if external else [])]


def lua_filter(name: str, script: str) -> Resource:
    code = {"inline_string": scripts.script(f"{script}.lua")}
    filter_ = extension(name, "envoy.extensions.filters.http.lua.v3.Lua", source_codes={script: code}, default_source_code=code)
    return {**filter_, "disabled": True}


def connect_state() -> Resource:
    """Carries what the CONNECT named and what was decided about it into the internal listener."""
    values = {
        names.CONNECT_HOST: f"%REQ({names.HOST_HEADER})%",
        names.CONNECT_PORT: f"%REQ({names.PORT_HEADER})%",
        names.CONNECT_RAW: f"%REQ({names.RAW_HEADER})%",
        names.CONNECT_ROUTE: "%ROUTE_NAME%",
    }
    states = [
        {
            "object_key": key,
            "format_string": {"text_format_source": {"inline_string": value}},
            "shared_with_upstream": "ONCE",
            "factory_key": "envoy.hashable_string",
        }
        for key, value in values.items()
    ]
    kind = "envoy.extensions.filters.http.set_filter_state.v3.Config"
    return {**extension(names.CONNECT_STATE, kind, on_request_headers=states), "disabled": True}


def dns_filters(dns: DnsCache) -> list[Resource]:
    """The resolving filter; where hosts are pinned a second one, which their routes turn on instead."""
    kind = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
    judged = extension(names.DNS_FILTER, kind, dns_cache_config=dns.config)
    if not dns.pins:
        return [judged]
    return [judged, {**extension(names.DNS_FILTER + names.PINNED, kind, dns_cache_config=dns.pinned.config), "disabled": True}]


READ_ONE_WAY: Resource = {
    "normalize_path": True,
    "merge_slashes": True,
    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
    "strip_trailing_host_dot": True,
    "use_remote_address": True,
}
"""Of a connection manager: without these a request could be judged in one reading and sent in another, or take another's address."""


def early_headers(*mutations: Resource) -> Resource:
    """Before routing, and before any filter."""
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=list(mutations),
    )


def without_prefix(prefix: str) -> Resource:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}


def early_mutation() -> Resource:
    """No header of a client survives that Envoy or we take for our own, then ours say what conditions read.

    Envoy drops `x-envoy-` headers only later, and reads `x-envoy-original-path` as the path wherever none is named.
    """
    shown = f"%REQUESTED_SERVER_NAME%|%FILTER_STATE({names.CONNECT_HOST}:PLAIN)%"
    values = {names.PATH_HEADER: "%PATH(NQ:PATH)%", names.NAMES_HEADER: shown, names.ID_HEADER: "%UNIQUE_ID%"}
    removed = [without_prefix(prefix) for prefix in (names.INTERNAL_PREFIX, "x-envoy-")]
    appended = [
        {"append": {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}} for key, value in values.items()
    ]
    return early_headers(*removed, *appended)


def http_manager(
    table: str, layout: Layout, filters: Iterable[Resource], scheme: str, *, upgrades: Iterable[str], external: External | None = None
) -> Resource:
    """Envoy's edge guide, less what would change requests: no forwarded-for, no request id, no server header."""
    router = extension(HTTP + "router", "envoy.extensions.filters.http.router.v3.Router", suppress_envoy_headers=True)
    nobody = {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]}
    return extension(
        NETWORK + "http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=table,
        rds={"config_source": layout.source(f"rds-{table}.json"), "route_config_name": table},
        http_filters=[*filters, router],
        access_log=http_access_log(layout, scheme, external),
        local_reply_config=local_replies(external),
        early_header_mutation_extensions=[early_mutation()],
        scheme_header_transformation={"scheme_to_overwrite": scheme},
        upgrade_configs=[{"upgrade_type": upgrade} for upgrade in upgrades],
        **READ_ONE_WAY,
        skip_xff_append=True,
        internal_address_config=nobody,
        generate_request_id=False,
        preserve_external_request_id=True,
        server_header_transformation="PASS_THROUGH",
        # Python's http.client before 3.12 asks for tunnels in HTTP/1.0; without a Host line it is refused as ever.
        http_protocol_options={"enable_trailers": True, "accept_http_10": table == names.EXPLICIT},
        http2_protocol_options=HTTP2,
        common_http_protocol_options={"idle_timeout": HOUR},
        stream_idle_timeout=HOUR,
        request_headers_timeout="10s",
        request_timeout="0s",
        drain_timeout="2s",
    )
