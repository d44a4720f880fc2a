"""Text of requests → the canonical forms that are signed, and the two digests. Latin-1 in, Latin-1 out.

The vendor's form of a byte in a URL: letters, digits and `-_.~` as they are, everything else as %XX, a space as %20. On the way
in a `+` in the query means a space, as form encoders write it.
"""

import hmac
from base64 import b64encode
from hashlib import sha1, sha256
from urllib.parse import quote, unquote_to_bytes

from policy.request import Request

Pairs = list[tuple[bytes, bytes]]


def decoded(text: str) -> bytes:
    return unquote_to_bytes(text.encode("latin-1"))


def encoded(data: bytes, *, slashes: bool = False) -> str:
    """With `slashes` they stay, as in paths."""
    return quote(data, safe="/" if slashes else "")


def pairs(text: str) -> Pairs:
    """Of a query or a form, decoded, in order; a name without `=` has an empty value."""
    split = (piece.replace("+", " ").partition("=") for piece in text.split("&") if piece)
    return [(decoded(name), decoded(value)) for name, _, value in split]


def path_of(request: Request) -> str:
    return request.target.partition("?")[0]


def query_of(request: Request) -> str:
    return request.target.partition("?")[2]


def hmac_sha256(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode("latin-1"), sha256)


def hmac_sha1_base64(key: str, text: str) -> str:
    return b64encode(hmac.digest(key.encode("latin-1"), text.encode("latin-1"), sha1)).decode("ascii")


def sha256_hex(text: str) -> str:
    return sha256(text.encode("latin-1")).hexdigest()


def lines(headers: dict[str, str]) -> str:
    """Canonical header lines, in order of name."""
    return "".join(f"{name}:{value.strip()}\n" for name, value in sorted(headers.items()))
