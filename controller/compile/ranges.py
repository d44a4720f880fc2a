"""The cluster's own address ranges, read from what the API says of it: ServiceCIDRs, and nodes with their pods.

Out come the ranges that the base list of `exclusions` and the operator's own list do not cover already, few and in a stable order:
each change is a write of every built-in NetworkPolicy there is. A node's `InternalIP` is in, because kubelets, node ports and pods
on the host's network trust who comes by it. Its `ExternalIP` is not: who dials that comes from outside like anybody, and it is new
with each machine. Nor are a cluster's pods where nodes do not say their ranges: those are the operator's to name.

Nodes come and go, so what is said by them is made to last. Private addresses vanish in the base list, neighbours become one range, of
IPv6 the whole /64 counts, as a network segment is one. What remains changes with each node: public IPv4 ranges that the operator
does not name. From MOST ranges of a family on, neighbours share a wider range, so that a policy has an end, and changes less.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import islice
from typing import Any, TypeVar

from controller.compile.exclusions import IPV4_BASE, IPV6_BASE, Network, unmapped
from kube.objects import Raw

MOST = 256
"""Of each family. There are as many IPv4 networks of the widest kind, so that an end is always found."""
WIDEST = {4: 8, 6: 20}
"""No cluster is wider. A node could name the whole internet and so close it for all: it is not believed."""
SEGMENT = 64
MANY = 64
"""Of one object's ranges or addresses no more are read; the API server allows two ranges, and no machine has as many addresses."""

One = TypeVar("One", IPv4Network, IPv6Network)


def cluster_ranges(service_cidrs: Iterable[Raw], nodes: Iterable[Raw], configured: Iterable[str] = ()) -> tuple[str, ...]:
    """All that is to be excluded besides the base list: `configured`, the operator's own, as they are, and what does not lie in them."""
    own = tuple(configured)
    known = networks((*IPV4_BASE, *IPV6_BASE, *own))
    found = [network for raw in service_cidrs for network in service_networks(raw)]
    found += [segment(network) for raw in nodes for network in (*pod_networks(raw), *node_networks(raw))]
    ipv4 = few(unknown(of_version(IPv4Network, found), of_version(IPv4Network, known)))
    ipv6 = few(unknown(of_version(IPv6Network, found), of_version(IPv6Network, known)))
    return (*own, *map(str, (*ipv4, *ipv6)))


def of_version(version: type[One], found: Iterable[Network]) -> set[One]:
    return {network for network in found if isinstance(network, version)}


def unknown(found: set[One], known: set[One]) -> list[One]:
    believed = (network for network in found if network.prefixlen >= WIDEST[network.version])
    return [network for network in believed if not any(network.subnet_of(wide) for wide in known)]


def service_networks(raw: Raw) -> list[Network]:
    return networks(listed(part(raw, "spec").get("cidrs")))


def pod_networks(raw: Raw) -> list[Network]:
    """`podCIDR` is the first of `podCIDRs`, and all there is on old nodes."""
    spec = part(raw, "spec")
    return networks((*listed(spec.get("podCIDRs")), *listed([spec.get("podCIDR")])))


def node_networks(raw: Raw) -> list[Network]:
    addresses = (found for found in listed_parts(part(raw, "status").get("addresses")) if found.get("type") == "InternalIP")
    return networks(listed([found.get("address") for found in addresses]))


def segment(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen > SEGMENT:
        return network.supernet(new_prefix=SEGMENT)
    return network


def few(ranges: Iterable[One]) -> list[One]:
    """As wide as it must be, and no wider: all that are narrower grow by one bit at a time."""
    found = list(collapse_addresses(ranges))
    while len(found) > MOST:
        length = max(network.prefixlen for network in found) - 1
        found = list(
            collapse_addresses(network if network.prefixlen <= length else network.supernet(new_prefix=length) for network in found)
        )
    return found


def networks(texts: Iterable[str]) -> list[Network]:
    """What is no range says nothing here: of the operator's list it is said where the policy is made, of an object's nobody can help it."""
    return [network for text in texts for network in parsed(text)]


def parsed(text: str) -> Iterator[Network]:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        return
    if "%" not in text:  # a zone is no range that a policy could name
        yield unmapped(network)


def part(raw: Raw, name: str) -> Raw:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def listed(value: Any) -> list[str]:
    return [found for found in islice(value, MANY) if isinstance(found, str)] if isinstance(value, list) else []


def listed_parts(value: Any) -> list[Raw]:
    return [found for found in islice(value, MANY) if isinstance(found, dict)] if isinstance(value, list) else []
