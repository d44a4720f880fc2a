"""`TEMPLATE-network-policy`: the one NetworkPolicy that all pods of a template share, selected by the hash of its name.

What the template says replaces the built-in rules as a whole; without a word in it, pods reach the internet but no private
address, and are reached by the sandbox router alone. So the built-in policy leaves no way to a DNS server inside the cluster:
pods without a `dnsPolicy` of their own are given public resolvers by agent-sandbox's controllers, all others find no names.
"""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from controller.compile.exclusions import internet_peers
from controller.compile.output import Manifest, Output, metadata, name_too_long
from crds.problem import Problem
from crds.sandbox_template import IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec, SandboxTemplate
from policy.template_hashes import pod_selector

SUFFIX = "-network-policy"
POLICY_TYPES = ["Ingress", "Egress"]
ROUTER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "agent-sandbox-system"}},
    "podSelector": {"matchLabels": {"app": "sandbox-router"}},
}
Peers = tuple[NetworkPolicyPeer, ...]
CLUSTER_DNS = ("ClusterFirst", "ClusterFirstWithHostNet")


def network_policy(template: SandboxTemplate, *, extra_excluded: Sequence[str] = ()) -> Output:
    """`extra_excluded` are the cluster's own ranges. What is wrong with one of them is said; the others are excluded all the same."""
    if not template.spec.managed:
        return Output()
    if too_long := name_too_long(template, SUFFIX):
        return Output(problems=(too_long,))
    if template.spec.network_policy is not None:
        return custom(template, template.spec.network_policy)
    rules, problems = default_rules(extra_excluded)
    return Output(manifest=manifest(template, rules), problems=(*problems, *unreachable_dns(template)))


def custom(template: SandboxTemplate, spec: NetworkPolicySpec) -> Output:
    """As written. A mistake that the API server would refuse leaves no policy: it is said instead."""
    problems = tuple(mistakes(spec))
    if problems:
        return Output(problems=problems)
    written = spec.to_dict()
    return Output(manifest=manifest(template, {name: written[name] for name in ("ingress", "egress") if name in written}))


def default_rules(extra_excluded: Sequence[str]) -> tuple[Manifest, tuple[Problem, ...]]:
    peers, problems = internet_peers(extra_excluded)
    return {"ingress": [{"from": [ROUTER]}], "egress": [{"to": peers}] if peers else []}, problems


def manifest(template: SandboxTemplate, rules: Manifest) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(template, SUFFIX),
        "spec": {"podSelector": pod_selector(template.metadata.name), "policyTypes": list(POLICY_TYPES), **rules},
    }


def unreachable_dns(template: SandboxTemplate) -> Iterator[Problem]:
    if template.spec.pod_template.spec.get("dnsPolicy") in CLUSTER_DNS:
        message = (
            "the built-in NetworkPolicy closes the way to the cluster's DNS, so no name resolves:"
            " leave `dnsPolicy` out, or write a `networkPolicy` that opens port 53"
        )
        yield Problem(reason="DnsUnreachable", message=message, field="spec.podTemplate.spec.dnsPolicy", fatal=False)


def mistakes(spec: NetworkPolicySpec) -> Iterator[Problem]:
    for number, incoming in enumerate(spec.ingress):
        yield from rule_mistakes(incoming.from_, incoming.ports, f"spec.networkPolicy.ingress[{number}]", "from")
    for number, outgoing in enumerate(spec.egress):
        yield from rule_mistakes(outgoing.to, outgoing.ports, f"spec.networkPolicy.egress[{number}]", "to")


def rule_mistakes(peers: Peers, ports: tuple[NetworkPolicyPort, ...], place: str, side: str) -> Iterator[Problem]:
    for index, peer in enumerate(peers):
        if peer.ip_block is not None:
            yield from outside(peer.ip_block, f"{place}.{side}[{index}].ipBlock")
    for index, port in enumerate(ports):
        yield from backwards(port, f"{place}.ports[{index}]")


def outside(block: IPBlock, place: str) -> Iterator[Problem]:
    whole = ip_network(block.cidr, strict=False)
    for index, text in enumerate(block.except_):
        part = ip_network(text, strict=False)
        inside = part.version == whole.version and part.subnet_of(whole) and part != whole  # type: ignore[arg-type]
        if not inside:
            message = f"`{text}` is no part of `{block.cidr}`: except only what lies within it"
            yield Problem(reason="InvalidRange", message=message, field=f"{place}.except[{index}]")


def backwards(port: NetworkPolicyPort, place: str) -> Iterator[Problem]:
    if port.end_port is None:
        return
    if not isinstance(port.port, int):
        yield Problem(reason="InvalidPort", message="`endPort` needs a number under `port` to begin from", field=f"{place}.endPort")
    elif not port.port <= port.end_port <= 65535:
        yield Problem(reason="InvalidPort", message=f"write a number from {port.port} to 65535", field=f"{place}.endPort")
