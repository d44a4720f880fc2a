"""Which addresses "the internet" does not mean, as the `except` lists of a NetworkPolicy.

To agent-sandbox's list (private and link-local ranges) come carriers' shared space, where some clouds put pods, and cloud
metadata addresses outside the link-local range. The cluster's own ranges are arguments: whoever knows the cluster gives them.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from crds.problem import Problem

Network = IPv4Network | IPv6Network

IPV4_EVERYWHERE, IPV6_EVERYWHERE = "0.0.0.0/0", "::/0"
IPV4_BASE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "100.64.0.0/10",  # shared address space; Alibaba's metadata address 100.100.100.200 is in it
    "168.63.129.16/32",  # Azure's wire server
    "192.0.0.192/32",  # metadata of Oracle Cloud Classic
)
IPV6_BASE = ("fc00::/7", "fe80::/10")


def internet_peers(extra: Sequence[str]) -> tuple[list[dict[str, Any]], tuple[Problem, ...]]:
    """The two `ipBlock` peers, and what is wrong with `extra`. A family that is excluded as a whole has no peer."""
    networks, problems = read(extra)
    peers: list[dict[str, Any]] = [
        {"ipBlock": {"cidr": everywhere, "except": list(excluded)}}
        for everywhere, base in ((IPV4_EVERYWHERE, IPV4_BASE), (IPV6_EVERYWHERE, IPV6_BASE))
        if (excluded := excepted(everywhere, base, tuple(networks))) is not None
    ]
    return peers, problems


def read(texts: Iterable[str]) -> tuple[list[Network], tuple[Problem, ...]]:
    networks, problems = [], []
    for text in texts:
        try:
            networks.append(unmapped(ip_network(text.strip(), strict=False)))
        except ValueError:
            message = f"`{text}` in the list of excluded ranges is no address range: write one such as `10.96.0.0/12`"
            problems.append(Problem(reason="InvalidRange", message=message, fatal=False))
    return networks, tuple(problems)


def unmapped(network: Network) -> Network:
    """IPv4 written as IPv6: what is meant travels as IPv4."""
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


@lru_cache(maxsize=16)
def excepted(everywhere: str, base: tuple[str, ...], extra: tuple[Network, ...]) -> tuple[str, ...] | None:
    """The base in its own order, then what it does not cover, in order of address. None where nothing is left.

    Kept, since it is the same for every template of a cluster.
    """
    family = ip_network(everywhere)
    covering = [ip_network(text) for text in base]
    own = sorted({network for network in extra if network.version == family.version}, key=lambda network: network.prefixlen)
    if family in own:
        return None
    added: list[Network] = []
    for network in own:
        if not any(covers(known, network) for known in [*covering, *added]):
            added.append(network)
    kept = [text for text in base if not any(covers(network, ip_network(text)) for network in added)]
    return (*kept, *(str(network) for network in sorted(added, key=lambda network: int(network.network_address))))


def covers(outer: Network, inner: Network) -> bool:
    return outer.network_address <= inner.network_address and inner.broadcast_address <= outer.broadcast_address  # type: ignore[operator]
