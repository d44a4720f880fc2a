"""The whole compilation: a selection, credential values and certificates in; files for Envoy out.

Pure: the caller writes the files, by rename, in the order in which `Configuration.files` lists them, so that a secret is
there before the route that names it. The same input gives the same bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dataplane.bootstrap import bootstrap
from dataplane.clusters import clusters
from dataplane.entries import Context, Guard
from dataplane.external import External, tls_files
from dataplane.hosts import RuleIndex
from dataplane.interception import HostPlan, Passthrough, host_plan, refuses_unjudgeable
from dataplane.listeners import DnsCache, explicit_listener, intercept_listener, pass_listener
from dataplane.secrets import LEAF, Layout, certificate_secret, credential_file, credential_secret, leaf_file
from dataplane.subscriptions import subscriptions
from dataplane.tables import explicit_table, intercepted, plain_table, tls_table
from dataplane.xds import Resource
from policy.domains import DomainPattern
from policy.program import Engine, Rule, SecretKeyRef, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate chain and its key, PEM."""

    certificate: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the place where Envoy runs decides: paths, the address clients reach, the resolver, explicit allowances."""

    layout: Layout
    address: Resource
    admin_socket: str
    dns: DnsCache = field(default_factory=DnsCache)
    allowed_literals: frozenset[str] = frozenset()
    pinned_ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    external: External | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What holds for which host, before any Envoy text: `groyne explain` and the leaf certificates are made from it."""

    selection: Selection
    hosts: tuple[HostPlan, ...]
    passthrough: tuple[Passthrough, ...] = ()

    @property
    def intercepted_names(self) -> tuple[str, ...]:
        return tuple(host.pattern.text for host in self.hosts if intercepted(host))

    def host(self, name: str) -> HostPlan:
        """The plan of the most specific pattern that matches a canonical host name."""
        matching = [plan for plan in self.hosts if plan.pattern.matches(name)]
        return max(matching, key=lambda plan: (not plan.pattern.is_any, not plan.pattern.is_wildcard, len(plan.pattern.text)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """File name → JSON text, in the order of writing."""

    files: Mapping[str, str] = field(repr=False)
    plan: Plan


def make_plan(selection: Selection, passthrough: Iterable[DomainPattern] = ()) -> Plan:
    """`passthrough` are hosts that the template's annotation leaves end-to-end, besides those that its profiles name."""
    index = RuleIndex(selection.rules)
    passed = tuple(Passthrough(domain=domain) for domain in passthrough)
    for profile in selection.profiles:
        passed += tuple(Passthrough(domain=domain, of_global=profile.ref.of_global) for domain in profile.passthrough_domains)
    # Escaped slashes are a matter of the virtual host, so a host that may have them needs one.
    escaped = (domain for profile in selection.profiles for domain in profile.escaped_slash_hosts)
    patterns = {*index.patterns, *(each.domain for each in passed), *escaped}
    hosts = tuple(host_plan(pattern, index.covering(pattern), passed) for pattern in sorted(patterns))
    return Plan(selection=selection, hosts=hosts, passthrough=passed)


def compile_envoy(plan: Plan, credentials: Mapping[SecretKeyRef, str], leafs: tuple[Pair, ...], options: Options) -> Configuration:
    """`credentials` holds the tokens by resolved reference; a reference that is not in it has no value now."""
    files = {
        **secret_files(plan.selection, credentials, leafs),
        **external_files(options.external),
        "cds.json": discovery("cds", clusters(options.layout, options.dns, options.external)),
        "lds.json": discovery("lds", [*listeners(plan, len(leafs), options), *credentials_read(plan, credentials, options.layout)]),
        **route_files(plan, credentials, options),
        "bootstrap.json": dump(bootstrap(options.layout, options.admin_socket)),
    }
    return Configuration(files=files, plan=plan)


def external_files(external: External | None) -> dict[str, str]:
    return {name: dump(content) for name, content in tls_files(external).items()}


def secret_files(selection: Selection, credentials: Mapping[SecretKeyRef, str], leafs: tuple[Pair, ...]) -> dict[str, str]:
    files = {leaf_file(n): dump(certificate_secret(f"{LEAF}-{n}", leaf.certificate, leaf.key)) for n, leaf in enumerate(leafs)}
    for rule in native(selection):
        if rule.token and (token := credentials.get(selection.secret_ref(rule.token.secret))) is not None:
            files[credential_file(rule.token)] = dump(credential_secret(rule.token, rule.token.template.render(token)))
    return files


def available_rules(selection: Selection, credentials: Mapping[SecretKeyRef, str]) -> frozenset[str]:
    return frozenset(rule.id for rule in native(selection) if rule.token and selection.secret_ref(rule.token.secret) in credentials)


def native(selection: Selection) -> list[Rule]:
    """The credentials of all other rules are ext-proc's business: Envoy never has them."""
    return [rule for rule in selection.rules if rule.engine is Engine.NATIVE]


def credentials_read(plan: Plan, credentials: Mapping[SecretKeyRef, str], layout: Layout) -> list[Resource]:
    return subscriptions(plan.selection.rules, available_rules(plan.selection, credentials), layout)


def route_files(
    plan: Plan, credentials: Mapping[SecretKeyRef, str], options: Options, *, explicit: bool = True, tls: bool = True
) -> dict[str, str]:
    """A pod has no clients that name the proxy (`explicit`), and nothing within `tls` where nothing is intercepted."""
    selection = plan.selection
    index = RuleIndex(selection.rules)
    hosts = {host.pattern: index.covering(host.pattern) for host in with_literals(plan, options)}
    plans = {host.pattern: host for host in with_literals(plan, options)}

    def context(scheme: str) -> Context:
        return Context(
            scheme=scheme,
            layout=options.layout,
            available=available_rules(selection, credentials),
            guards=options.guards,
            escaped_slash_hosts=tuple(host for profile in selection.profiles for host in profile.escaped_slash_hosts),
            allowed_literals=options.allowed_literals,
            pinned_ports=options.pinned_ports,
            external=options.external,
        )

    http, https = context("http"), context("https")
    tables = (
        *((explicit_table(hosts, plans, http),) if explicit else ()),
        plain_table(hosts, http),
        *((tls_table(hosts, plans, https),) if tls else ()),
    )
    return {f"rds-{table['name']}.json": table_file(table) for table in tables}


def with_literals(plan: Plan, options: Options) -> list[HostPlan]:
    """The plan's hosts, and one for each host whose ports or address the options pin, under the rules that cover it."""
    known = {host.pattern.text for host in plan.hosts}
    index = RuleIndex(plan.selection.rules)
    added = [DomainPattern(text=text) for text in sorted({*options.pinned_ports, *options.allowed_literals} - known)]
    return [*plan.hosts, *(pinned_plan(plan, host_plan(pattern, index.covering(pattern), plan.passthrough)) for pattern in added)]


def pinned_plan(plan: Plan, host: HostPlan) -> HostPlan:
    """A pinned host is handled as the pattern that covers it: its certificate is that pattern's."""
    return HostPlan(pattern=host.pattern, handling=plan.host(host.pattern.text).handling, because=host.because)


def listeners(plan: Plan, leafs: int, options: Options) -> list[Resource]:
    layout, dns, external = options.layout, options.dns, options.external
    found = [explicit_listener(options.address, layout, dns, external)]
    if leafs:
        found.append(intercept_listener(layout, dns, leafs, external))
    raw = not refuses_unjudgeable(plan.selection.rules)
    found.append(pass_listener(layout, dns, external, raw=raw))
    if dns.pins:
        found.append(pass_listener(layout, dns, external, raw=raw, pinned=True))
    return found


def discovery(name: str, resources: list[Resource]) -> str:
    return versioned(name, ",".join(map(dump, resources)))


def versioned(name: str, resources: str) -> str:
    """A discovery response, whose version is a hash of what is in it."""
    version = f"{name}-{hashlib.sha256(resources.encode()).hexdigest()[:16]}"
    return f'{{"version_info":{dump(version)},"resources":[{resources}]}}'


def table_file(table: Resource) -> str:
    """A table's virtual hosts become text one by one: a thousand of them as dicts take seconds and hundreds of MB."""
    hosts = ",".join(dump(host) for host in table["virtual_hosts"])
    rest = dump({key: value for key, value in table.items() if key != "virtual_hosts"})
    content = f'{rest.removesuffix("}")},"virtual_hosts":[{hosts}]}}'
    return versioned(table["name"], content)


def dump(value: Resource | str) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
