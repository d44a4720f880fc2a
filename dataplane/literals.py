"""IP literals in the authority that must not be dialled, as one regex for Envoy.

Names are judged after resolution, by the resolver that Envoy is pointed at; a literal never passes a resolver. IPv4 is
refused by the networks below. Of IPv6, only global unicast (2000::/3) passes, less 6to4 and Teredo, which embed IPv4.
"""

import ipaddress

import re2

NOT_PUBLIC_IPV4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
    )
)  # fmt: skip
"""Private, shared, loopback, link-local, benchmark, multicast and reserved networks, and Azure's wire server."""


NOT_PUBLIC_RANGES = (
    *map(str, NOT_PUBLIC_IPV4),
    "::/8",
    "100::/64",
    "2001::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
"""What no name may resolve to, for Envoy's own look at each address: names in /etc/hosts and localhost never reach a resolver."""


def octets(first: int, last: int) -> str:
    """A regex for the decimal numbers from first to last, both within 0 and 255."""
    if (first, last) == (0, 255):
        return "[0-9]+"
    return "(?:" + "|".join(str(number) for number in range(first, last + 1)) + ")"


def network_regex(network: ipaddress.IPv4Network) -> str:
    low, high = network.network_address.packed, network.broadcast_address.packed
    return r"\.".join(octets(first, last) for first, last in zip(low, high, strict=True))


IPV4 = "(?:" + "|".join(network_regex(network) for network in NOT_PUBLIC_IPV4) + ")"
IPV6 = r"\[(?:[^23]\C*|[23][0-9a-f]{0,2}:\C*|2002:\C*|2001:0{0,4}:\C*)"
NOT_PUBLIC_LITERAL = rf"(?i)(?:{IPV4}(?::[0-9]+)?|{IPV6})"
_refused = re2.compile(NOT_PUBLIC_LITERAL)


def refused_literal(host: str, allowed: frozenset[str]) -> str | None:
    """The reason why a canonical host is refused as an IP literal, if it is one and not allowed."""
    shown = f"[{host}]" if ":" in host else host
    if host in allowed or not _refused.fullmatch(shown):
        return None
    return "AddressRefused"
