"""Which host and port a Host line or `:authority` names: one canonical spelling, or none.

A host is a name of labels, a strict dotted-quad IPv4 address, or an IPv6 address in brackets, spelled as RFC 5952 has it.
Whatever resolvers take for a number although it does not look like one (`127.1`, `0x7f.1`, `2130706433`, `010.0.0.1`) is no
host, so that what is judged is what is dialled. How long a name may be is left to whoever resolves it. Text is Latin-1
and one trailing dot, also before a port, was already removed (`without_dot`), as Envoy removes it.
"""

import ipaddress
import re
from functools import lru_cache

import re2

from policy.ipv6 import canonical_ipv6

_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
LABEL = r"[0-9A-Za-z_-]+"
_NO_NUMBER = (
    r"(?:[A-Za-z_-][0-9A-Za-z_-]*"
    r"|[1-9][0-9]*[A-Za-z_-][0-9A-Za-z_-]*"
    r"|0[0-9]+[A-Za-z_-][0-9A-Za-z_-]*"
    r"|0[A-WYZa-wyz_-][0-9A-Za-z_-]*"
    r"|0[xX][0-9A-Fa-f]*[G-Zg-z_-][0-9A-Za-z_-]*)"
)
"""A last label that no resolver reads as a decimal, octal or hexadecimal number."""
_NAME = rf"(?:{LABEL}\.)*{_NO_NUMBER}"
PORT = r"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"

VALID_HOST = rf"(?:{_NAME}|{_IPV4}|\[{canonical_ipv6()}\])"
"""RE2, a full match: what a host may look like."""

VALID_AUTHORITY = rf"{VALID_HOST}(?::{PORT})?"
"""RE2, a full match on `:authority` after its trailing dot is gone; Envoy is given this very text."""

ABSOLUTE_TARGET = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:[A-Za-z0-9._~!$&'()*+,;=:%-]*@)?"
    r"(?P<authority>[A-Za-z0-9.-]*(?::[0-9]+)?|\[[0-9A-Fa-f:.]*\](?::[0-9]+)?)"
    r"(?P<path>(?:[/?].*)?)",
    re.DOTALL,
)
"""What Envoy's HTTP/1.1 parser accepts as an absolute target; it drops user information."""

_valid = re2.compile(VALID_AUTHORITY)


def without_dot(authority: str) -> str:
    """One trailing dot removed, of the host or of the whole, as Envoy's `strip_trailing_host_dot` does it."""
    dot = authority.rfind(".")
    if dot >= 0 and (dot == len(authority) - 1 or authority[dot + 1] == ":"):
        return authority[:dot] + authority[dot + 1 :]
    return authority


@lru_cache(maxsize=4096)
def parse_authority(authority: str) -> tuple[str, int | None] | None:
    """Canonical host, and port where one is named; None where the text names no host."""
    if not authority.isascii() or not _valid.fullmatch(authority):
        return None
    if authority.startswith("["):
        address, _, port = authority[1:].partition("]")
        return canonical_ip(address), int(port[1:]) if port else None
    host, _, port = authority.partition(":")
    return host.lower(), int(port) if port else None


def canonical_ip(text: str) -> str:
    """An address in one spelling, IPv6 without brackets and never with dots. Raises ValueError where it is none."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        number = int(address.ipv4_mapped)
        return f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}"
    return str(address)


def embedded_ipv4(host: str) -> str | None:
    """The IPv4 address that an IPv6 host stands for (mapped, compatible, NAT64, 6to4, Teredo), whom a block of it may concern."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if inner is None and (address in _NAT64 or (address in _COMPATIBLE and int(address) > 0xFFFF)):
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return str(inner) if inner else None


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
