"""ext-proc as Envoy sees it: the filter, the check behind it, the cluster, and what a route says to have a request decided there.

In: where ext-proc is, who is asked for, and the operator's settings. The filter is off unless a route turns it on (`gateway` has it
on for all). Behind it stands a check of ours wherever it decides: Envoy lets a request pass when ext-proc ends its stream without an
answer and without an error, so what goes on must carry a decision, in the metadata that only ext-proc can write. Knows nothing of rules
and of what ext-proc decides.
"""

import base64
import json
from dataclasses import dataclass, field

from dataplane import names
from dataplane.external_protocol import IDENTITY_ATTRIBUTES, IDENTITY_HEADER, OWN_NAMESPACE, SOURCE_ADDRESS, VERDICT
from dataplane.external_settings import Body, ExternalSettings
from dataplane.predicates import regex
from dataplane.secrets import SECRET, Layout, sds
from dataplane.xds import Resource, extension, message
from policy.headers import RESERVED
from policy.program import Identity

EXT_PROC = "envoy.extensions.filters.http.ext_proc.v3."
RBAC = "envoy.extensions.filters.http.rbac.v3."
CLUSTER = "envoy.config.cluster.v3.Cluster"
PROTOCOLS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

ATTRIBUTES = (SOURCE_ADDRESS, "connection.requested_server_name", "request.protocol", "xds.route_name")

REQUESTS_PER_CONNECTION = 150
"""Envoy resets each stream that it is done with; servers take more than 200 resets on a connection for an attack and close it."""

UNTOUCHED = "|".join((*sorted(name for name in RESERVED if name != "host" and not name.startswith("proxy-")), "(?:proxy|x-groyne)-.*"))
"""What no rule can change, ext-proc cannot either, whatever becomes of it. Envoy itself adds host, method, scheme, authority and
`x-envoy-`; it takes no larger regular expression here."""

RETRIES: Resource = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 4,
    "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
}
"""Only what ext-proc has not seen: a server that drains, or shows a new certificate, refuses streams and resets connections in between.
What it may have seen is not asked again, so no hook hears of a request twice."""

CLIENT_CERTIFICATE = "external-client"
AUTHORITIES = "external-authorities"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """Files that somebody else renews in one directory, and the only SPIFFE id that the server may have."""

    server_id: str
    directory: str
    certificate: str = "tls.crt"
    key: str = "tls.key"
    authorities: str = "ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """`address` is Envoy's word for where it listens: a unix socket, or a name and a port, which need `tls`.

    `identity` is said with each request by an Envoy that serves nobody else, on a socket that nobody else can open; one that
    shows a certificate of its own says nothing, and `of_many` serves pods whom other filters know. `template`, `pod` and `token`,
    what the sandbox shows to credential providers, are told beside the identity. `everything`: every request is decided there, whatever
    Envoy could decide itself: so the engines are held against each other (e2e/differential).
    """

    address: Resource
    tls: ClientTls | None = None
    identity: Identity | None = None
    template: str = ""
    pod: str = ""
    token: str = field(default="", repr=False)
    of_many: bool = False
    everything: bool = False
    settings: ExternalSettings = field(default_factory=ExternalSettings)


def external_filters(external: External) -> list[Resource]:
    """The filter, off, and the check, which is always there and does nothing unless the route says so: where the filter is missing
    by mistake, the check is not.
    """
    return [{**processor(external, body=Body.NONE, answered=False), "disabled": True}, decision_check()]


def processor(external: External, *, body: Body, answered: bool) -> Resource:
    """`answered`: somebody wants to know what the host answered."""
    settings = external.settings
    attributes = (*(IDENTITY_ATTRIBUTES if external.of_many else ()), *ATTRIBUTES, *settings.attributes)
    receiving = [OWN_NAMESPACE, *settings.writable_namespaces]
    metadata: Resource = {"receiving_namespaces": {"untyped": list(dict.fromkeys(receiving))}}
    if settings.accessible_namespaces:
        metadata["forwarding_namespaces"] = {"untyped": list(settings.accessible_namespaces)}
    return extension(
        names.EXTERNAL,
        EXT_PROC + "ExternalProcessor",
        # A stream lives as long as its request, which may be hours.
        grpc_service={
            "envoy_grpc": {"cluster_name": names.EXTERNAL, "authority": authority(external), "skip_envoy_headers": True},
            "retry_policy": RETRIES,
        },
        processing_mode=processing_mode(body, answered=answered),
        request_attributes=list(dict.fromkeys(attributes)),
        message_timeout=f"{settings.message_timeout:g}s",
        failure_mode_allow=settings.fail_open,
        status_on_error={"code": settings.status_on_error},
        allow_mode_override=settings.allow_mode_override,
        observability_mode=settings.shadow_mode,
        metadata_options=metadata,
        mutation_rules={"disallow_expression": regex(UNTOUCHED)["safe_regex"], "disallow_is_error": True},
        # What was judged is what is sent: no answer leads elsewhere.
        route_cache_action="RETAIN",
        stat_prefix="external",
    )


def authority(external: External) -> str:
    """As RFC 3986 has it: an IPv6 address in brackets, without which HTTP/2 servers take it for none."""
    found = external.address.get("socket_address")
    if not found:
        return "localhost"
    host = found["address"]
    return f"[{host}]:{found['port_value']}" if ":" in host else f"{host}:{found['port_value']}"


def processing_mode(body: Body, *, answered: bool) -> Resource:
    # Envoy asks nobody about a body that is not there: of a request that has trailers instead it asks about those, or not at all.
    waits = body in {Body.BUFFERED, Body.FULL_DUPLEX_STREAMED}
    return {
        "request_header_mode": "SEND",
        "response_header_mode": "SEND" if answered else "SKIP",
        "request_body_mode": BODY_MODES[body],
        "response_body_mode": "NONE",
        "request_trailer_mode": "SEND" if waits else "SKIP",
        "response_trailer_mode": "SKIP",
    }


BODY_MODES = {
    Body.NONE: "NONE",
    Body.STREAMED: "STREAMED",
    Body.BUFFERED: "BUFFERED",
    Body.BUFFERED_PARTIAL: "BUFFERED_PARTIAL",
    Body.FULL_DUPLEX_STREAMED: "FULL_DUPLEX_STREAMED",
}


def decision_check() -> Resource:
    return extension(names.DECIDED, RBAC + "RBAC")


def decided_rules() -> Resource:
    path = {"filter": OWN_NAMESPACE, "path": [{"key": VERDICT}], "value": {"present_match": True}}
    decided = {"permissions": [{"sourced_metadata": {"metadata_matcher": path}}], "principals": [{"any": True}]}
    return {"rules": {"action": "ALLOW", "policies": {"decided": decided}}}


def asking(external: External, *, body: bool, answered: bool) -> dict[str, Resource]:
    """A route's own configuration: its requests are decided by ext-proc."""
    settings = external.settings
    mode = processing_mode(settings.body if body else Body.NONE, answered=answered)
    overrides: Resource = {"processing_mode": mode}
    if external.identity is not None:
        overrides["grpc_initial_metadata"] = [{"key": IDENTITY_HEADER, "value": identity_text(external)}]
    found = {names.EXTERNAL: message(EXT_PROC + "ExtProcPerRoute", overrides=overrides)}
    if settings.decides:
        found[names.DECIDED] = message(RBAC + "RBACPerRoute", rbac=decided_rules())
    return found


def not_asking() -> dict[str, Resource]:
    """For a host's other routes: the filter is there, because a later choice of route may want it, and does nothing."""
    return {names.EXTERNAL: message(EXT_PROC + "ExtProcPerRoute", disabled=True)}


def identity_text(external: External) -> str:
    identity = external.identity or Identity()
    said = {"namespace": identity.namespace, "labels": dict(sorted(identity.labels)), "template": external.template}
    said |= {key: value for key, value in (("pod", external.pod), ("token", external.token)) if value}
    return base64.b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()


def external_cluster(external: External, layout: Layout) -> Resource:
    """Its limits stop a client that opens streams and abandons them before they stop ext-proc."""
    endpoint = {"endpoint": {"address": external.address}}
    more: Resource = {"transport_socket": client_tls(external.tls, layout)} if external.tls else {}
    kept_alive: Resource = {"interval": "30s", "timeout": "5s"}
    most: Resource = {"max_connections": 256, "max_pending_requests": 4096, "max_requests": 16_384, "max_retries": 4096}
    named = "socket_address" in external.address
    options = message(
        PROTOCOLS,
        common_http_protocol_options={"max_requests_per_connection": REQUESTS_PER_CONNECTION, "idle_timeout": "300s"},
        explicit_http_config={"http2_protocol_options": {"max_concurrent_streams": 100, "connection_keepalive": kept_alive}},
    )
    return message(
        CLUSTER,
        name=names.EXTERNAL,
        type="STRICT_DNS" if named else "STATIC",
        connect_timeout="1s",
        circuit_breakers={"thresholds": [most]},
        load_assignment={"cluster_name": names.EXTERNAL, "endpoints": [{"lb_endpoints": [endpoint]}]},
        typed_extension_protocol_options={PROTOCOLS: options},
        **({"upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 5}}} if named else {}),
        **more,
    )


def client_tls(tls: ClientTls, layout: Layout) -> Resource:
    """The server must have exactly this id; what a name in DNS says is nobody's identity."""
    same = {"san_type": "URI", "matcher": {"exact": tls.server_id}}
    combined = {
        "default_validation_context": {"match_typed_subject_alt_names": [same]},
        "validation_context_sds_secret_config": {"name": AUTHORITIES, "sds_config": layout.source(f"sds-{AUTHORITIES}.json")},
    }
    client = {"name": CLIENT_CERTIFICATE, "sds_config": layout.source(f"sds-{CLIENT_CERTIFICATE}.json")}
    return extension(
        "tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
            "tls_certificate_sds_secret_configs": [client],
            "combined_validation_context": combined,
        },
    )


def tls_files(external: External | None) -> dict[str, Resource]:
    """Discovery responses that name the files: Envoy reads them anew when something is moved in their directory."""
    if external is None or external.tls is None:
        return {}
    tls = external.tls
    watched = {"watched_directory": {"path": tls.directory}}

    def file(name: str) -> Resource:
        return {"filename": f"{tls.directory}/{name}"}

    pair = {"certificate_chain": file(tls.certificate), "private_key": file(tls.key), **watched}
    roots = {"trusted_ca": file(tls.authorities), **watched}
    return {
        f"sds-{CLIENT_CERTIFICATE}.json": sds(message(SECRET, name=CLIENT_CERTIFICATE, tls_certificate=pair)),
        f"sds-{AUTHORITIES}.json": sds(message(SECRET, name=AUTHORITIES, validation_context=roots)),
    }
