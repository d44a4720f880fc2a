"""Which addresses are public: the address as text in, the reason why it is not to be dialled out, or None.

An agent must not reach the machine, its network or a cloud's metadata service by a name that leads there. The judgement is
by address alone; a name is never trusted. Addresses that carry an IPv4 address inside (NAT64, 6to4, Teredo) are judged by it;
everything in IPv6 that is not global unicast is refused, whatever it will be used for one day.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

METADATA = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192"))
) | frozenset(map(ip_address, ("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")))

_V4 = tuple(
    (IPv4Network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmark"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_V6 = tuple(
    (IPv6Network(network), reason)
    for network, reason in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("64:ff9b:1::/48", "private"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


def judge_address(text: str) -> str | None:
    """Why this address is not public, in a word or two; None where it is."""
    try:
        address = ip_address(text)
    except ValueError:
        return "not an address"
    return _judge_v4(address) if isinstance(address, IPv4Address) else _judge_v6(IPv6Address(address.packed))


def _judge_v4(address: IPv4Address) -> str | None:
    if address in METADATA:
        return "cloud metadata"
    return next((reason for network, reason in _V4 if address in network), None)


def _judge_v6(address: IPv6Address) -> str | None:
    if address in METADATA:
        return "cloud metadata"
    inside = _embedded(address)
    if inside:
        reasons = (_judge_v4(each) for each in inside)
        return next((f"{reason}, inside an IPv6 address" for reason in reasons if reason), None)
    named = next((reason for network, reason in _V6 if address in network), None)
    if named is None and address not in _GLOBAL_UNICAST:
        return "reserved"
    return named


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to this one may end at."""
    packed = address.packed
    if address in _NAT64:
        return (IPv4Address(packed[12:]),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(packed[2:6]),)
    if address in _TEREDO:
        return IPv4Address(packed[4:8]), IPv4Address(bytes(byte ^ 0xFF for byte in packed[12:]))
    return ()
