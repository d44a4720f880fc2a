"""SPIFFE ids, and patterns of them that say who may speak.

In: texts, from certificates and from settings. Out: values that compare. A trust domain compares in lower case, a path letter by letter;
what SPIFFE forbids in an id is no id here.

A pattern is an id in which whole segments of the path may be left open:

    spiffe://prod.example/ns/team-a/sa/agent      this id alone
    spiffe://prod.example/ns/*/sa/groyne-sidecar  `*` is one segment, whatever it says
    spiffe://prod.example/ns/team-a/**            `**`, last, is one segment or more

The trust domain is never open, nothing is open inside a segment, and no pattern means everybody.
"""

import re
from dataclasses import dataclass
from typing import Self

from mtls.files import ConfigurationError

SCHEME = "spiffe://"
LONGEST_ID = 2048
LONGEST_DOMAIN = 255
DOMAIN = re.compile(r"[a-z0-9._-]+")
SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
ONE, REST = "*", "**"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpiffeId:
    trust_domain: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return SCHEME + "/".join((self.trust_domain, *self.path))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, whose text says what SPIFFE forbids."""
        domain, path = _split(text)
        for segment in path:
            if not SEGMENT.fullmatch(segment) or segment in {".", ".."}:
                raise ValueError("its path has an empty, relative or misspelt segment")
        return cls(trust_domain=domain, path=path)


def _split(text: str) -> tuple[str, tuple[str, ...]]:
    if len(text.encode()) > LONGEST_ID:
        raise ValueError(f"it is longer than {LONGEST_ID} bytes")
    if text[: len(SCHEME)].lower() != SCHEME:
        raise ValueError(f"it does not begin with {SCHEME}")
    domain, slash, path = text[len(SCHEME) :].partition("/")
    domain = domain.lower()
    if not DOMAIN.fullmatch(domain) or len(domain) > LONGEST_DOMAIN:
        raise ValueError("its trust domain is not made of letters, digits, dots, dashes and underscores")
    return domain, tuple(path.split("/")) if slash else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    trust_domain: str
    path: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ConfigurationError: patterns are settings."""
        try:
            domain, path = _split(text)
        except ValueError as error:
            raise ConfigurationError(f"`{text}` is no SPIFFE id or pattern of one: {error}") from None
        if not path:
            raise ConfigurationError(f"`{text}` names a trust domain and nobody in it: end it with a path, or with /{REST}")
        for place, segment in enumerate(path):
            if segment == REST and place != len(path) - 1:
                raise ConfigurationError(f"`{text}`: {REST} may stand at the end alone")
            if segment not in {ONE, REST} and (not SEGMENT.fullmatch(segment) or segment in {".", ".."}):
                raise ConfigurationError(f"`{text}`: `{segment}` is neither a segment of a SPIFFE id nor {ONE} or {REST}")
        return cls(trust_domain=domain, path=path)

    def matches(self, found: SpiffeId) -> bool:
        if found.trust_domain != self.trust_domain:
            return False
        wanted = self.path
        if wanted[-1] == REST:
            wanted = wanted[:-1]
            if len(found.path) <= len(wanted):
                return False
        elif len(found.path) != len(wanted):
            return False
        return all(want in (ONE, have) for want, have in zip(wanted, found.path, strict=False))

    def __str__(self) -> str:
        return SCHEME + "/".join((self.trust_domain, *self.path))


@dataclass(frozen=True, slots=True)
class Peers:
    """Who may speak: one of several patterns. There is always at least one, so that nothing left empty means everybody."""

    patterns: tuple[Pattern, ...]

    def __post_init__(self) -> None:
        if not self.patterns:
            raise ConfigurationError("no SPIFFE id is allowed to speak: name at least one")

    @classmethod
    def of(cls, *texts: str) -> Self:
        return cls(tuple(Pattern.parse(text.strip()) for text in texts))

    def allow(self, found: SpiffeId) -> bool:
        return any(pattern.matches(found) for pattern in self.patterns)

    def __str__(self) -> str:
        return ", ".join(map(str, self.patterns))
