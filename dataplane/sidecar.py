"""The compilation for a pod's sidecar: the same rules, routes and secrets as everywhere, behind the redirect listener.

Out come the files of a volume that Envoy reads and cannot write: its log goes to standard output. Public roots for what it
dials itself are not among the files; the volume maps the bundle to `clusters.ROOTS_FILE` where something is intercepted.

A pod of a dual stack may lie on a node whose kernel has no IPv6. Envoy refuses there every listener and cluster that names an
IPv6 address or range, so there is a second set without any: rules, routes and secrets are shared, the pod chooses as it starts
(`bootstrap.start_script`). Any other pod, also one that lacks the addresses of a family, takes the first set.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dataplane import access_log, names, scripts
from dataplane.bootstrap import IPV4, bootstrap
from dataplane.clusters import clusters
from dataplane.compile import (
    Configuration,
    Options,
    Pair,
    Plan,
    credentials_read,
    discovery,
    dump,
    external_files,
    route_files,
    secret_files,
    with_literals,
)
from dataplane.connections import Hosts, judge_addresses, judge_names
from dataplane.external import External
from dataplane.hosts import RuleIndex
from dataplane.interception import Handling, HostPlan, name_decisions, passes_unread, refuses_unjudgeable
from dataplane.listeners import DnsCache, shown_listener
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.redirect import ADDRESSES_FILE, NAMES_FILE, RAW_FILE, Families, Redirect, judge_resource, original_cluster, redirect_listener
from dataplane.secrets import Layout
from dataplane.xds import Resource
from policy.program import Engine, SecretKeyRef

DIRECTORY = "/etc/envoy"
ADMIN_SOCKET = "/run/groyne/admin.sock"
STDOUT = "/dev/stdout"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeLayout(Layout):
    """A Secret's volume is read-only: what is written goes elsewhere."""

    directory: str = DIRECTORY
    projected: bool = True
    log: str = STDOUT

    def path(self, name: str) -> str:
        return self.log if name == access_log.FILE else Layout.path(self, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarOptions:
    """What a pod decides. `allowed` are private ranges that may be dialled by address; names are judged by the resolver."""

    layout: Layout = field(default_factory=VolumeLayout)
    port: int = 15001
    families: Families = Families.DUAL
    admin_socket: str = ADMIN_SOCKET
    dns: DnsCache = field(default_factory=lambda: DnsCache(refused=NOT_PUBLIC_RANGES))
    allowed: tuple[str, ...] = ()
    external: External | None = None


def compile_sidecar(plan: Plan, credentials: Mapping[SecretKeyRef, str], leafs: tuple[Pair, ...], options: SidecarOptions) -> Configuration:
    """As `compile_envoy`; no `leafs` means that nothing is intercepted, and then what should be is refused. Who has nothing to ask of
    ext-proc is told nothing of it, and needs no certificate.
    """
    if not asks(plan):
        options = replace(options, external=None)
    shared = shared_options(options)
    hosts = with_literals(plan, shared)
    files = {
        **secret_files(plan.selection, credentials, leafs),
        **external_files(options.external),
        **route_files(plan, credentials, shared, explicit=False, tls=bool(leafs)),
        **judge_files(plan, hosts),
    }
    subscribed = credentials_read(plan, credentials, options.layout)
    for variant, chosen in variants(options).items():
        entry = redirect_listener(redirect(plan, hosts, chosen), hosts, chosen.layout, chosen.dns, len(leafs), chosen.external)
        files |= envoy_files([entry, shown_listener(chosen.layout, chosen.dns), *subscribed], chosen, variant, intercepting=bool(leafs))
    return Configuration(files=files, plan=plan)


def asks(plan: Plan) -> bool:
    return any(rule.engine is Engine.EXTPROC for rule in plan.selection.rules)


def variants(options: SidecarOptions) -> dict[str, SidecarOptions]:
    """By what the names of their files end in. Of IPv4 alone there is one, without an IPv6 address, for every kernel."""
    ipv4 = replace(options, families=Families.IPV4, dns=options.dns.ipv4)
    match options.families:
        case Families.IPV4:
            return {"": ipv4}
        case Families.IPV6:
            return {"": options}
        case Families.DUAL:
            return {"": options, IPV4: ipv4}


def envoy_files(listeners: list[Resource], options: SidecarOptions, variant: str, *, intercepting: bool) -> dict[str, str]:
    named, files = scripts.apart(listeners, options.layout)
    return {
        **files,
        f"cds{variant}.json": discovery("cds", sidecar_clusters(options, intercepting=intercepting)),
        f"lds{variant}.json": discovery("lds", named),
        f"bootstrap{variant}.json": dump(bootstrap(options.layout, options.admin_socket, variant)),
    }


def shared_options(options: SidecarOptions) -> Options:
    """For the parts that both listeners share; the address is nobody's, since no proxy client is served."""
    literals = frozenset(text for text in options.allowed if "/" not in text)
    return Options(
        layout=options.layout,
        address={},
        admin_socket=options.admin_socket,
        dns=options.dns,
        allowed_literals=literals,
        external=options.external,
    )


def redirect(plan: Plan, hosts: list[HostPlan], options: SidecarOptions) -> Redirect:
    raw = not refuses_unjudgeable(plan.selection.rules)
    return Redirect(port=options.port, families=options.families, raw=raw, allowed=options.allowed, hold_back=refuses_address(plan, hosts))


def refuses_address(plan: Plan, hosts: list[HostPlan]) -> bool:
    index = RuleIndex(plan.selection.rules)
    judged = [host for host in hosts if host.pattern.is_ip or host.pattern.is_any]
    decisions = (decision for host in judged for decision in name_decisions(index.covering(host.pattern), host.handling))
    unread = all(host.handling is Handling.PASS and passes_unread(index.covering(host.pattern)) for host in judged)
    return not unread or any(decision.refused_by for decision in decisions)


def judge_files(plan: Plan, hosts: list[HostPlan]) -> dict[str, str]:
    index = RuleIndex(plan.selection.rules)
    rules: Hosts = {host.pattern: index.covering(host.pattern) for host in hosts}
    plans = {host.pattern: host for host in hosts}
    judges = {
        NAMES_FILE: ("names", judge_names(rules, plans)),
        ADDRESSES_FILE: ("addresses", judge_addresses(rules, plans, unread=False)),
        RAW_FILE: ("raw", judge_addresses(rules, plans, unread=True)),
    }
    return {file: discovery(name, [judge_resource(name, judge)]) for file, (name, judge) in judges.items()}


def sidecar_clusters(options: SidecarOptions, *, intercepting: bool) -> list[Resource]:
    """Without interception nothing is dialled with TLS, and no roots are needed."""
    unused = {names.INTERCEPT} if intercepting else {names.INTERCEPT, names.TLS_CLUSTER, names.TLS_HTTP1_CLUSTER}
    return [
        *(cluster for cluster in clusters(options.layout, options.dns, options.external) if cluster["name"] not in unused),
        original_cluster(),
    ]
