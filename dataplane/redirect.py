"""The listener behind a pod's redirect rules: every TCP connection of the pod comes in, with its original destination.

  TLS to an intercepted name   ends here, the same manager as behind CONNECT (`listeners.tls_chain`)
  TLS to any other name        judged by name and port, then handed to `pass`, which dials the name, never the client's address
  TLS without a name           an intercepted address ends here; else judged by address where the policy lets unjudgeable traffic pass
  HTTP in the clear            on any port, the same manager as on the explicit proxy
  anything else                as TLS without a name

Which chain a connection takes stands in the listener, and changes only with the set of intercepted hosts. What the rules say
of names and addresses are filters in files of their own, so that an edited rule neither touches the listener nor cuts a stream.
A connection that was not redirected (another pod's, or Envoy's own in a circle) is closed in every chain.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dataplane import names
from dataplane.access_log import file_log
from dataplane.clusters import CLUSTER, MANY
from dataplane.connections import OnMatch, by_name, by_transport, exact_map, public_address
from dataplane.external import External
from dataplane.interception import Handling, HostPlan
from dataplane.listeners import HOUR, LISTENER, DnsCache, call, http_chain, inspectors, limits, tls_chain
from dataplane.secrets import Layout
from dataplane.xds import NETWORK, TYPE, Resource, extension, message

ORIGINAL_CLUSTER = "original"
NAMES_FILE = "ecds-names.json"
ADDRESSES_FILE = "ecds-addresses.json"
RAW_FILE = "ecds-raw.json"
RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
HASHABLE = "envoy.hashable_string"
"""Connections into internal listeners are pooled by their shared state, but only by what can be hashed: otherwise one that was
made for a name may be handed to another."""
EARLY = 16384
"""A client's first flight is held back until it is judged; a TLS hello with post-quantum keys needs two kilobytes."""
TLS, PASS, ADDRESS, UNNAMED, HTTP, RAW, REFUSED = "tls", "pass", "address", "unnamed", "http", "raw", "refused"


class Families(StrEnum):
    """The IP families of a pod. Where the kernel has no IPv6, Envoy takes no listener that names an IPv6 address, anywhere in it."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    DUAL = "DualStack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """`raw`: whether what no HTTP rule can judge may pass. `allowed`: ranges dialled by address though they are not public."""

    port: int = 15001
    families: Families = Families.DUAL
    raw: bool = False
    allowed: tuple[str, ...] = ()
    hold_back: bool = False
    """Whether some address is refused by a rule: then nothing is dialled before the client's first byte was judged."""


def redirect_listener(
    redirect: Redirect, hosts: Iterable[HostPlan], layout: Layout, dns: DnsCache, leafs: int, external: External | None = None
) -> Resource:
    found = chains(redirect, layout, dns, leafs, external)
    return message(
        LISTENER, name=names.REDIRECT, **addresses(redirect), filter_chains=found,
        filter_chain_matcher=chain_matcher(redirect, hosts if leafs else ()),
        listener_filters=[original_destination(), *inspectors()], listener_filters_timeout="5s",
        continue_on_listener_filters_timeout=True, access_log=[connection_log(layout)], **limits(),
    )  # fmt: skip


def addresses(redirect: Redirect) -> Resource:
    """On a dual stack two sockets, whatever the kernel's default for v4-mapped addresses is."""
    ipv4 = {"socket_address": {"address": "0.0.0.0", "port_value": redirect.port}}  # noqa: S104 - redirected connections arrive here
    ipv6 = {"socket_address": {"address": "::", "port_value": redirect.port}}
    if redirect.families is Families.IPV4:
        return {"address": ipv4}
    if redirect.families is Families.IPV6:
        return {"address": ipv6}
    ipv6_only = {"description": "IPV6_V6ONLY", "level": 41, "name": 26, "int_value": 1, "state": "STATE_PREBIND"}
    return {"address": ipv4, "additional_addresses": [{"address": ipv6, "socket_options": {"socket_options": [ipv6_only]}}]}


def original_destination() -> Resource:
    return extension("envoy.filters.listener.original_dst", "envoy.extensions.filters.listener.original_dst.v3.OriginalDst")


def chains(redirect: Redirect, layout: Layout, dns: DnsCache, leafs: int, external: External | None = None) -> list[Resource]:
    clear = http_chain(layout, dns, external)
    found = [
        chain(PASS, [shown_state(), judge("names", NAMES_FILE, layout), to_cluster(names.PASS, hold_back=True)]),
        chain(HTTP, clear["filters"]),
        {"name": REFUSED, "filters": [closed()]},
    ]
    if redirect.raw:
        found.append(chain(RAW, [judge("raw", RAW_FILE, layout), to_cluster(ORIGINAL_CLUSTER, hold_back=redirect.hold_back)]))
        found.append(chain(UNNAMED, [judge("addresses", ADDRESSES_FILE, layout), to_cluster(ORIGINAL_CLUSTER, hold_back=True)]))
    if leafs:
        inside = tls_chain(layout, dns, leafs, external)
        ending = {key: inside[key] for key in ("transport_socket", "transport_socket_connect_timeout")}
        found.append({**chain(TLS, inside["filters"]), **ending})
        found.append({**chain(ADDRESS, [dialled_state(), *inside["filters"]]), **ending})
    return found


def chain(name: str, filters: list[Resource]) -> Resource:
    return {"name": name, "filters": [*redirected_only(), *filters]}


def chain_matcher(redirect: Redirect, hosts: Iterable[HostPlan]) -> Resource:
    plans = list(hosts)
    refused = to_chain(REFUSED)
    unnamed, raw = (judged_address(redirect, to_chain(name), refused) for name in (UNNAMED, RAW))
    inside = {plan.pattern.text: to_chain(ADDRESS) for plan in plans if plan.handling is Handling.INTERCEPT and plan.pattern.is_ip}
    nameless = exact_map("DestinationIPInput", dict.fromkeys(inside, to_chain(ADDRESS)), {"matcher": unnamed})
    leaves = {plan.pattern: to_chain(TLS if plan.handling is Handling.INTERCEPT else PASS) for plan in named(plans)}
    tls = by_name(leaves, to_chain(PASS), {"matcher": nameless})
    return by_transport({"matcher": tls}, to_chain(HTTP), {"matcher": raw})


def judged_address(redirect: Redirect, then: OnMatch, refused: OnMatch) -> Resource:
    if not redirect.raw:
        return {"on_no_match": refused}
    return public_address(then, refused, redirect.allowed, ipv6=redirect.families is not Families.IPV4)


def named(plans: list[HostPlan]) -> list[HostPlan]:
    """Intercepted names, and those others that would be taken for one below an intercepted wildcard."""
    patterns = [plan for plan in plans if not plan.pattern.is_ip and not plan.pattern.is_any]
    intercepted = [plan.pattern for plan in patterns if plan.handling is Handling.INTERCEPT]
    wildcards = {pattern for pattern in intercepted if pattern.is_wildcard}
    return [plan for plan in patterns if plan.handling is Handling.INTERCEPT or any(wide.covers(plan.pattern) for wide in wildcards)]


def to_chain(name: str) -> OnMatch:
    return {"action": {"name": name, "typed_config": {"@type": TYPE + "google.protobuf.StringValue", "value": name}}}


def redirected_only() -> list[Resource]:
    """A redirected connection was accepted at another address than the one that it was meant for."""
    state = {"groyne.meant_for": "%DOWNSTREAM_LOCAL_ADDRESS%", "groyne.accepted_at": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%"}
    meant, accepted = (
        call("_[_]", {"ident_expr": {"name": "filter_state"}}, {"const_expr": {"string_value": key}}) for key in state
    )  # fmt: skip
    policy = {"permissions": [{"any": True}], "principals": [{"any": True}], "condition": call("_!=_", meant, accepted)}
    rules = {"action": "ALLOW", "policies": {"redirected": policy}}
    return [set_state(state), extension(NETWORK + "rbac", RBAC, stat_prefix="redirected", rules=rules)]


def shown_state() -> Resource:
    """What `pass` dials: the name that TLS shows, the port that the client dialled."""
    name = "%REQUESTED_SERVER_NAME%"
    return set_state({names.CONNECT_HOST: name, names.CONNECT_PORT: "%DOWNSTREAM_LOCAL_PORT%"}, shared=True)


def dialled_state() -> Resource:
    """Without a name in TLS, the address that the client dialled takes the place of a CONNECT's host."""
    return set_state({names.CONNECT_HOST: "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%"})


def set_state(values: dict[str, str], *, shared: bool = False) -> Resource:
    states = [
        {
            "object_key": key,
            "format_string": {"text_format_source": {"inline_string": value}},
            "factory_key": HASHABLE,
            **({"shared_with_upstream": "ONCE"} if shared else {}),
        }
        for key, value in values.items()
    ]
    kind = "envoy.extensions.filters.network.set_filter_state.v3.Config"
    return extension(NETWORK + "set_filter_state", kind, on_new_connection=states)


def judge(name: str, file: str, layout: Layout) -> Resource:
    """A filter that is read from a file of its own."""
    return {"name": name, "config_discovery": {"config_source": layout.source(file), "type_urls": [TYPE + RBAC]}}


def judge_resource(name: str, filter_: Resource) -> Resource:
    return message("envoy.config.core.v3.TypedExtensionConfig", name=name, typed_config=filter_["typed_config"])


def to_cluster(cluster: str, *, hold_back: bool) -> Resource:
    """`hold_back` waits for the client's first bytes, so that nothing is dialled, nor a name resolved, for what is refused."""
    mode: Resource = {"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": EARLY} if hold_back else {}
    kind = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    return extension(NETWORK + "tcp_proxy", kind, stat_prefix="redirect", cluster=cluster, idle_timeout=HOUR, **mode)


def closed() -> Resource:
    """Answers nothing and closes at once."""
    kind = "envoy.extensions.filters.network.direct_response.v3.Config"
    return extension(NETWORK + "direct_response", kind)


def original_cluster() -> Resource:
    return message(
        CLUSTER, name=ORIGINAL_CLUSTER, type="ORIGINAL_DST", lb_policy="CLUSTER_PROVIDED", connect_timeout="10s",
        circuit_breakers=MANY, per_connection_buffer_limit_bytes=1 << 20,
    )  # fmt: skip


def connection_log(layout: Layout) -> Resource:
    """One line a connection; HTTP in it has its own lines besides."""
    fields = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "tunnel": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "sni": "%REQUESTED_SERVER_NAME%",
        "chain": "%FILTER_CHAIN_NAME%",
        "details": "%CONNECTION_TERMINATION_DETAILS%",
        "flags": "%RESPONSE_FLAGS%",
        "tls": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
        "ms": "%DURATION%",
    }
    return file_log(layout, fields)
