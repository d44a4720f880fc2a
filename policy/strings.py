r"""How text is compared: exact, prefix, or RE2 search on raw bytes, the same in Python and in Envoy.

HTTP carries bytes; Python holds them as Latin-1 text, one character a byte, and Envoy compiles its regexes as Latin-1.
A regex is unanchored and becomes a full match of `\C*(?:…)\C*`, which is also the text that Envoy gets (design decision 4).
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import re2


class MatchKind(StrEnum):
    EXACT = "exact"
    PREFIX = "prefix"
    REGEX = "regex"


@lru_cache(maxsize=65536)
def compiled(pattern: str) -> "re2._Regexp[bytes]":
    """The pattern as Envoy compiles it. Raises re2.error where RE2 refuses it."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return re2.compile(pattern.encode("latin-1"), options)


@dataclass(frozen=True, slots=True, kw_only=True)
class StringMatch:
    """`value` is Latin-1 text; for a regex, the user's pattern as written (see `full_pattern`)."""

    kind: MatchKind
    value: str

    @property
    def full_pattern(self) -> str:
        """The regex as a full match, as Envoy's `safe_regex` wants it."""
        return rf"\C*(?:{self.value})\C*"

    def matches(self, text: str) -> bool:
        match self.kind:
            case MatchKind.EXACT:
                return text == self.value
            case MatchKind.PREFIX:
                return text.startswith(self.value)
            case MatchKind.REGEX:
                return compiled(self.full_pattern).fullmatch(text.encode("latin-1")) is not None
