"""`--resolve HOST:PORT:ADDR`: the explicit allowance to dial a private address, as curl spells it."""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from policy.authority import parse_authority

_FORM = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[]*):(?P<port>[0-9]{1,5}):(?P<address>.*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Addresses by host, the only ports they may be dialled on, and literals that are allowed although private."""

    addresses: dict[str, tuple[str, ...]]
    ports: dict[str, tuple[int, ...]]
    literals: frozenset[str]

    @property
    def all_addresses(self) -> tuple[str, ...]:
        return tuple(sorted({address for found in self.addresses.values() for address in found}))


def parse_pins(options: Iterable[str]) -> Pins | str:
    """The allowances, or a sentence that says which option is wrong and how to write it."""
    addresses: dict[str, list[str]] = defaultdict(list)
    ports: dict[str, list[int]] = defaultdict(list)
    literals = set()
    for option in options:
        pin = parse_pin(option)
        if pin is None:
            return f"--resolve {option}: write HOST:PORT:ADDR, for example api.example.test:8443:127.0.0.1 (IPv6 in brackets)"
        host, port, address = pin
        addresses[host].append(address)
        ports[host].append(port)
        literals |= {host} if _address(host) else set()
    return Pins(
        addresses={host: tuple(dict.fromkeys(found)) for host, found in addresses.items()},
        ports={host: tuple(sorted(set(found))) for host, found in ports.items()},
        literals=frozenset(literals),
    )


def parse_pin(option: str) -> tuple[str, int, str] | None:
    parts = _FORM.match(option)
    if parts is None:
        return None
    host, address = _host(parts["host"]), _address(_without_brackets(parts["address"]))
    if host is None or address is None or not 0 < int(parts["port"]) <= 65535:
        return None
    return host, int(parts["port"]), address


def _host(text: str) -> str | None:
    """Any spelling of an IPv6 address means the one that requests have."""
    if text.startswith("["):
        return _address(_without_brackets(text))
    named = parse_authority(text)
    return named[0] if named else None


def _without_brackets(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def _address(text: str) -> str | None:
    if "%" in text:  # a zone, which no DNS answer can carry
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
