"""`--resolve HOST:PORT:ADDR`: the explicit allowance to dial a private address, as curl spells it."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from policy.authority import parse_authority


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """Addresses by host, the only ports they may be dialled on, and literals that are allowed although private."""

    addresses: dict[str, tuple[str, ...]]
    ports: dict[str, tuple[int, ...]]
    literals: frozenset[str]


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
    host, rest = _host(option)
    port, _, address = rest.partition(":")
    named = parse_authority(host)
    plain = _address(address.removeprefix("[").removesuffix("]"))
    if named is None or named[1] is not None or plain is None or not port.isdecimal() or not 0 < int(port) <= 65535:
        return None
    return named[0], int(port), plain


def _host(option: str) -> tuple[str, str]:
    if option.startswith("["):
        host, _, rest = option.partition("]")
        return host + "]", rest.removeprefix(":")
    host, _, rest = option.partition(":")
    return host, rest


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
