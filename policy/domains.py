"""Host patterns: `*`, `*.suffix` (any depth, never the apex), or one host, compared without case, port or trailing dot."""

from dataclasses import dataclass


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
