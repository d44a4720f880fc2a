"""Host patterns: `*`, `*.suffix` (any depth, never the apex), or one host, compared without case, port or trailing dot.

`parse_domain` reads what a user wrote. What could never match a host is a problem that says how to write it instead:
a rule that silently does not hold is worse than one that is refused.
"""

import ipaddress
import re
from dataclasses import dataclass

from crds.paths import shorten
from crds.problem import Problem
from policy.authority import canonical_ip, parse_authority
from policy.reasons import Reason

LONGEST_NAME = 253
LONGEST_LABEL = 63

_PLAIN = re.compile(r"(?:\*\.)?[0-9A-Za-z_.-]+\Z")
_ALLOWED = re.compile(r"[0-9A-Za-z_.*:\[\]-]+\Z")
_WITH_PORT = re.compile(r"(?P<host>[^:\[\]]+|\[[^\]]*\]):(?P<port>[0-9]*)\Z")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DomainPattern:
    """`text` is the canonical spelling: lower case, no trailing dot; IP literals as `ipaddress` writes them, IPv6 without brackets."""

    text: str

    @property
    def is_any(self) -> bool:
        return self.text == "*"

    @property
    def is_wildcard(self) -> bool:
        return self.text.startswith("*.")

    @property
    def is_ip(self) -> bool:
        return ":" in self.text or self.text.replace(".", "").isdigit()

    def matches(self, host: str) -> bool:
        """`host` is canonical, as `policy.request` makes it."""
        if self.is_any:
            return True
        if self.is_wildcard:
            return host.endswith(self.text[1:]) and len(host) > len(self.text) - 1
        return host == self.text

    def covers(self, other: "DomainPattern") -> bool:
        """Whether every host of `other` is a host of this one."""
        if self.is_any:
            return True
        if other.is_any:
            return False
        if self.is_wildcard:
            return other.text.removeprefix("*").endswith(self.text[1:]) and (other.is_wildcard or other.text != self.text[2:])
        return self.text == other.text

    def overlaps(self, other: "DomainPattern") -> bool:
        """Whether some host is of both: patterns nest or are apart, there is nothing in between."""
        return self.covers(other) or other.covers(self)


def parse_domain(text: str) -> DomainPattern | Problem:
    if text == "*":
        return DomainPattern(text="*")
    if not _PLAIN.match(text) and (remedy := _wrong_shape(text)):
        return _problem(text, remedy)
    host = text.lower().removesuffix(".")
    if ":" in host or host.startswith("["):
        return _ipv6(text, host)
    suffix = host.removeprefix("*.")
    parsed = parse_authority(suffix)
    if parsed is None or (suffix != host and _is_ipv4(suffix)):
        return _problem(text, _no_host(suffix, wildcard=suffix != host))
    if len(suffix) > LONGEST_NAME or any(len(label) > LONGEST_LABEL for label in suffix.split(".")):
        return _problem(text, f"a name has at most {LONGEST_NAME} characters and {LONGEST_LABEL} between two dots")
    return DomainPattern(text=host)


def _wrong_shape(text: str) -> str | None:
    """What is to be written instead; None where the text may be a pattern."""
    checks = (
        (not text.strip(), "write a host such as `api.example.com`, or `*` for any"),
        (any(character.isspace() for character in text), "remove the spaces"),
        ("/" in text, "write the host only, without scheme and path; ranges of addresses are no hosts"),
        ("@" in text, "write the host only, without user name"),
        (
            "*" in text.removeprefix("*."),
            "`*` stands alone for any host, or as `*.` before a name: write `*.example.com` for everything below example.com",
        ),
    )
    if remedy := next((remedy for wrong, remedy in checks if wrong), None):
        return remedy
    if not text.isascii():
        return _not_ascii(text)
    if (with_port := _WITH_PORT.match(text)) and text.count(":") == 1 + with_port["host"].count(":"):
        return f"write `{with_port['host']}` and put the port under `ports`"
    return None if _ALLOWED.match(text) else "a host is made of letters, digits, `-`, `_` and `.`"


def _not_ascii(text: str) -> str:
    try:
        return f"write the name as DNS has it: `{text.encode('idna').decode('ascii').lower()}`"
    except UnicodeError:
        return "write the name as DNS has it, in ASCII (`xn--…`)"


def _ipv6(text: str, host: str) -> DomainPattern | Problem:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return DomainPattern(text=canonical_ip(str(ipaddress.IPv6Address(bare))))
    except ValueError:
        return _problem(text, "this is no IPv6 address: write one such as `2001:db8::1`")


def _no_host(text: str, *, wildcard: bool) -> str:
    if wildcard and _is_ipv4(text):
        return "there is nothing below an address: list the addresses"
    if text in {"", "*"} or text.startswith(".") or ".." in text or text.endswith("."):
        return "write a name without empty parts between its dots, such as `api.example.com`"
    return "a host that ends in a number is an IPv4 address: write it as four decimal numbers without leading zeros, such as `10.0.0.1`"


def _is_ipv4(text: str) -> bool:
    return text.replace(".", "").isdigit()


def _problem(text: str, remedy: str) -> Problem:
    return Problem(reason=Reason.INVALID_DOMAIN.value, message=f"`{shorten(text)}` can match no host: {remedy}")
