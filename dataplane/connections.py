"""Judging a connection before a byte of it goes on: by the name shown in TLS, or by the address that the client dialled.

In: the hosts' plans and rules. Out: matcher trees for Envoy, whose leaves are whatever the caller puts there (a decision, or
the name of a filter chain). Ports are the original destination's. An exact name wins over a wildcard, the longer wildcard
over the shorter, as in routing; names arrive in lower case from Envoy.
"""

import json
from collections.abc import Iterable, Mapping

from dataplane.hosts import HostRule
from dataplane.interception import Handling, HostPlan, name_decisions, passes_unread
from dataplane.literals import NOT_PUBLIC_IPV4
from dataplane.predicates import Predicate, any_of, negation, regex
from dataplane.xds import NETWORK, Resource, extension
from policy.authority import VALID_HOST
from policy.domains import DomainPattern
from policy.program import Rule

INPUTS = "envoy.extensions.matching.common_inputs.network.v3."
PUBLIC = ("0.0.0.0/0", "2000::/3")
NOT_PUBLIC = (*map(str, NOT_PUBLIC_IPV4), "::/0", "2001::/32", "2002::/16")
"""The longest range that holds an address decides. Of IPv6 only global unicast is public, less what embeds IPv4."""

Hosts = Mapping[DomainPattern, tuple[HostRule, ...]]
OnMatch = Resource
"""`{"action": …}` or `{"matcher": …}`."""


def connection_input(name: str) -> Resource:
    return extension(name, INPUTS + name)


def by_transport(tls: OnMatch, http: OnMatch, other: OnMatch) -> Resource:
    """The whole tree. Envoy writes application protocols in quotes."""
    protocols = {f"'{protocol}'": http for protocol in ("http/1.0", "http/1.1", "h2c")}
    clear = exact_map("ApplicationProtocolInput", protocols, other)
    return exact_map("TransportProtocolInput", {"tls": tls}, {"matcher": clear})


def exact_map(input_name: str, leaves: Mapping[str, OnMatch], otherwise: OnMatch) -> Resource:
    """A matcher; Envoy accepts no empty map."""
    if not leaves:
        return {"on_no_match": otherwise}
    tree = {"input": connection_input(input_name), "exact_match_map": {"map": dict(sorted(leaves.items()))}}
    return {"matcher_tree": tree, "on_no_match": otherwise}


def by_name(leaves: Mapping[DomainPattern, OnMatch], other: OnMatch, none: OnMatch) -> Resource:
    """`other` is for names that no pattern covers, `none` for connections that show no name."""
    wildcards = sorted((pattern for pattern in leaves if pattern.is_wildcard), key=lambda pattern: (-len(pattern.text), pattern.text))
    listed = [(shown_name(suffix=pattern.text[1:]), leaves[pattern]) for pattern in wildcards]
    listed.append((shown_name(**regex(r"\C+")), other))
    matchers = [{"predicate": predicate, "on_match": leaf} for predicate, leaf in listed]
    exact = {pattern.text: leaf for pattern, leaf in leaves.items() if not pattern.is_wildcard}
    return exact_map("ServerNameInput", exact, {"matcher": {"matcher_list": {"matchers": matchers}, "on_no_match": none}})


def shown_name(**value_match: object) -> Predicate:
    return {"single_predicate": {"input": connection_input("ServerNameInput"), "value_match": value_match}}


def public_address(then: OnMatch, refused: OnMatch, allowed: Iterable[str], *, ipv6: bool = True) -> Resource:
    """`allowed` are ranges, or single addresses, that are as good as public. Without `ipv6` none of it is named or passes."""
    leaves = [(NOT_PUBLIC, refused), ((*PUBLIC, *allowed), then)]
    ranges = [{"ranges": [cidr(text) for text in texts if ipv6 or ":" not in text], "on_match": leaf} for texts, leaf in leaves]
    trie = extension("envoy.matching.custom_matchers.trie_matcher", "xds.type.matcher.v3.IPMatcher", range_matchers=ranges)
    return {"matcher_tree": {"input": connection_input("DestinationIPInput"), "custom_match": trie}, "on_no_match": refused}


def cidr(text: str) -> Resource:
    address, _, length = text.partition("/")
    return {"address_prefix": address, "prefix_len": int(length or (128 if ":" in address else 32))}


def judge_names(hosts: Hosts, plans: Mapping[DomainPattern, HostPlan]) -> Resource:
    """An RBAC filter that admits TLS which stays end-to-end. A name that is none, or that should have been intercepted, is refused."""
    leaves = {pattern: judge_port(rules, plans[pattern]) for pattern, rules in hosts.items()}
    other = leaves.pop(DomainPattern(text="*"))
    named = {pattern: leaf for pattern, leaf in leaves.items() if not pattern.is_ip}
    unreadable = any_of((negation(shown_name(**regex(VALID_HOST))), shown_name(**regex(r"[0-9.]+|\[\C*"))))
    refuse = {"predicate": unreadable, "on_match": deny("refused", "MalformedHost")}
    tree = by_name(named, other, deny("refused", "NotJudgeable"))
    return rbac("names", {"matcher_list": {"matchers": [refuse]}, "on_no_match": {"matcher": tree}})


def judge_addresses(hosts: Hosts, plans: Mapping[DomainPattern, HostPlan], *, unread: bool) -> Resource:
    """An RBAC filter for connections without a name: the address takes its place.

    `unread` is for what is neither TLS nor HTTP, or was silent until Envoy stopped waiting: where more than host and port is
    judged, it might still become what would have been judged.
    """
    judged = {pattern: rules for pattern, rules in hosts.items() if pattern.is_ip or pattern.is_any}
    leaves = {
        pattern: judge_port(rules, plans[pattern]) if passes_unread(rules) or not unread else deny("refused", "NotJudgeable")
        for pattern, rules in judged.items()
    }
    other = leaves.pop(DomainPattern(text="*"))
    addresses = {pattern.text: leaf for pattern, leaf in leaves.items()}
    return rbac("addresses", exact_map("DestinationIPInput", addresses, other))


def judge_port(host_rules: tuple[HostRule, ...], plan: HostPlan) -> OnMatch:
    """The first decision that speaks of the port holds; a host that must be read to be judged is refused here."""
    admitted = allow() if plan.handling is Handling.PASS else deny("refused", "InterceptionUnavailable")
    by_port: dict[str, OnMatch] = {}
    otherwise = admitted
    for decision in name_decisions(host_rules, plan.handling):
        leaf = admitted if decision.refused_by is None else deny_by(decision.refused_by)
        if decision.ports == ():
            otherwise = leaf
            break
        for port in decision.ports or ():
            by_port.setdefault(str(port), leaf)
    return {"matcher": exact_map("DestinationPortInput", by_port, otherwise)} if by_port else otherwise


def allow() -> OnMatch:
    return decision("ALLOW", "passed")


def deny(verdict: str, *parts: str) -> OnMatch:
    return decision("DENY", verdict, *parts)


def deny_by(rule: Rule) -> OnMatch:
    return deny("blocked", rule.id, "Blocked")


def decision(action: str, *parts: str) -> OnMatch:
    """The access log shows a denying decision's name in brackets, with its spaces replaced: it has none."""
    name = json.dumps(parts, separators=(",", ":"))
    return {"action": extension("decision", "envoy.config.rbac.v3.Action", name=name, action=action)}


def rbac(prefix: str, matcher: Resource) -> Resource:
    return extension(NETWORK + "rbac", "envoy.extensions.filters.network.rbac.v3.RBAC", stat_prefix=prefix, matcher=matcher)
