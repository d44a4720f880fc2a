"""Anything that is to be logged → plain data that is fit to be: the last line of defence, not the first.

No code logs a secret on purpose. What gets here by mistake (a whole object as an extra field, a library's message, an exception
that quotes what it could not read) loses what is *named* like a secret and what *looks* like one. Everything else becomes text,
numbers, lists and maps, of bounded size.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice, pairwise
from math import isfinite
from typing import Any

MASK = "***"
LONGEST_TEXT = 8000
MOST_ENTRIES = 100
DEEPEST = 6

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SECRET_WORDS = frozenset({"authorization", "cookie", "data", "passphrase", "passwd", "password", "token", "tokens"})
_SECRET_PAIRS = frozenset({("api", "key"), ("private", "key"), ("secret", "key"), ("access", "key"), ("client", "secret")})

_NAMES = "[a-z0-9_-]{0,40}(?:authorization|cookie|password|passphrase|token|(?<!meta)data|api_?key|client_?secret|private_?key)"
_QUOTED = r"\"(?:[^\"\\]|\\.)*(?:\"|\\?\Z)|'(?:[^'\\]|\\.)*(?:'|\\?\Z)"
_VALUE = rf"b?(?:{_QUOTED})|\{{(?:{_QUOTED}|[^\"'}}])*\}}?|\[(?:{_QUOTED}|[^\"'\]])*\]?|[^\s,;&)}}\]]+"
_PATTERNS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL | re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", MASK),
        (r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", MASK),
        (r"\b((?:proxy-)?authorization:\s*)[^\r\n]+", rf"\1{MASK}"),
        (r"\b(bearer)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
        (rf"([\"']{_NAMES}[\"']\s*:\s*)(?:{_VALUE})", rf"\1{MASK}"),
        (rf"\b({_NAMES}=)(?:{_VALUE})", rf"\1{MASK}"),
        (rf"\b(input_value=)(?:{_QUOTED}|.*?(?=, input_type=|\]|$))", rf"\1{MASK}"),
    )
)
"""Keys and tokens by their looks; what stands behind a telling name in JSON, in a `repr`, in a URL or a header; Pydantic's quotations."""


def secret_name(name: str) -> bool:
    """By its words, so that `accessToken` is a token and `metadata` no data."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return not _SECRET_WORDS.isdisjoint(words) or any(pair in _SECRET_PAIRS for pair in pairwise(words))


def clean(text: str) -> str:
    kept = text[:LONGEST_TEXT]
    for pattern, replacement in _PATTERNS:
        kept = pattern.sub(replacement, kept)
    return kept if len(text) <= LONGEST_TEXT else f"{kept}… {len(text) - LONGEST_TEXT} more characters"


def plain(value: Any, depth: int = 0) -> Any:
    """Data for JSON. Bytes are never text that somebody meant to be read."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, datetime):
        return value.isoformat()
    if depth < DEEPEST and isinstance(value, Mapping):
        return fields(value.items(), depth)
    if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset) and not hasattr(value, "_fields"):
        return [plain(each, depth + 1) for each in islice(value, MOST_ENTRIES)]
    return clean(str(value))


def fields(items: Iterable[tuple[Any, Any]], depth: int = 0) -> dict[str, Any]:
    chosen = ((str(name), value) for name, value in islice(items, MOST_ENTRIES))
    return {name: MASK if secret_name(name) else plain(value, depth + 1) for name, value in chosen}
