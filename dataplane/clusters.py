"""Where requests go: forward clusters that dial the judged name, and the way into the internal listeners."""

from dataplane import names
from dataplane.external import External, external_cluster
from dataplane.listeners import DnsCache
from dataplane.secrets import Layout
from dataplane.xds import Resource, extension, message

CLUSTER = "envoy.config.cluster.v3.Cluster"
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
ROOTS_FILE = "upstream-roots.pem"
MANY = {"thresholds": [{"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 1_000_000}]}


def clusters(layout: Layout, dns: DnsCache, external: External | None = None) -> list[Resource]:
    downstream: Resource = {"use_downstream_protocol_config": {"http2_protocol_options": {}}}
    negotiated: Resource = {"auto_config": {"http2_protocol_options": {}}}
    http1: Resource = {"explicit_http_config": {"http_protocol_options": {}}}
    places = [("", dns), (names.PINNED, dns.pinned)] if dns.pins else [("", dns)]
    found = [internal(names.INTERCEPT)]
    for suffix, cache in places:
        found += [
            forward(names.PLAIN_CLUSTER + suffix, cache, protocols(downstream)),
            forward(names.TLS_CLUSTER + suffix, cache, protocols(negotiated, verified=True), upstream_tls(layout)),
            forward(names.TLS_HTTP1_CLUSTER + suffix, cache, protocols(http1, verified=True), upstream_tls(layout)),
            forward(names.TCP_CLUSTER + suffix, cache, None),
            internal(names.PASS + suffix),
        ]
    return [*found, external_cluster(external, layout)] if external else found


def forward(name: str, dns: DnsCache, options: Resource | None, tls: Resource | None = None) -> Resource:
    kind = "envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig"
    more: Resource = {"typed_extension_protocol_options": {PROTOCOLS: options}} if options else {}
    if tls:
        more["transport_socket"] = tls
    # Envoy's word for a cluster without TLS verification: only those without TLS have it.
    insecure = {} if tls else {"allow_insecure_cluster_options": True}
    forwarding = extension("envoy.clusters.dynamic_forward_proxy", kind, dns_cache_config=dns.config, **insecure)
    return message(
        CLUSTER, name=name, lb_policy="CLUSTER_PROVIDED", connect_timeout="10s", circuit_breakers=MANY,
        per_connection_buffer_limit_bytes=1 << 20, cluster_type=forwarding, **more,
    )  # fmt: skip


def protocols(choice: Resource, *, verified: bool = False) -> Resource:
    """`verified`: SNI is the request's host, and the certificate must name it."""
    checked = {"upstream_http_protocol_options": {"auto_sni": True, "auto_san_validation": True}} if verified else {}
    return message(PROTOCOLS, common_http_protocol_options={"idle_timeout": "600s"}, **choice, **checked)


def upstream_tls(layout: Layout) -> Resource:
    roots = {"trusted_ca": {"filename": layout.path(ROOTS_FILE)}}
    return extension(
        "tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={"validation_context": roots, "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}},
    )


def internal(name: str) -> Resource:
    endpoint = {"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": name}}}}
    raw = extension("raw", "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    kind = "envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport"
    return message(
        CLUSTER,
        name=name,
        circuit_breakers=MANY,
        load_assignment={"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        transport_socket=extension("envoy.transport_sockets.internal_upstream", kind, transport_socket=raw),
    )
