"""Takes the policy's credentials out of an environment and puts placeholders in. Pure: environment and credentials in, Scrubbed out.

A credential is found as itself, inside other text (`Bearer x`, a URL, JSON), in JSON's and URLs' escaped forms, and in base64,
alone or with a user name before it. Short ones are only replaced where they are the whole value or a whole word of it,
or half of PATH would change. One credential has one placeholder everywhere, so that a rule can tell it by it.
"""

import base64
import binascii
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from groyne.environment.shapes import placeholder

_SHORT = 8
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """`env` holds no credential; `placeholders` maps credential names to what stands for them; `changed` lists variables."""

    env: dict[str, str]
    placeholders: dict[str, str]
    changed: tuple[str, ...]


def scrub(env: Mapping[str, str], credentials: Mapping[str, str], rng: random.Random) -> Scrubbed:
    values = {name: value.strip() for name, value in credentials.items() if value.strip()}
    real = frozenset(values.values())
    made = {value: _unlike_all(value, real, rng) for value in dict.fromkeys(values.values())}
    # The longest first: a credential may contain another one.
    ordered = sorted(made.items(), key=lambda pair: len(pair[0]), reverse=True)
    cleaned = {name: _clean(text, ordered) for name, text in env.items()}
    return Scrubbed(
        env=cleaned,
        placeholders={name: made[value] for name, value in values.items()},
        changed=tuple(name for name in env if cleaned[name] != env[name]),
    )


def _unlike_all(value: str, real: frozenset[str], rng: random.Random) -> str:
    while (made := placeholder(value, rng)) in real:
        pass
    return made


def _clean(text: str, pairs: list[tuple[str, str]]) -> str:
    for value, stand_in in pairs:
        text = _replace(text, value, stand_in)
    return _BASE64.sub(lambda token: _clean_base64(token[0], pairs), text)


def _replace(text: str, value: str, stand_in: str) -> str:
    if len(value) < _SHORT:
        return re.sub(rf"(?<![^\s\"'=:,]){re.escape(value)}(?![^\s\"',;])", lambda _: stand_in, text)
    for form in (str, _json_escaped, _url_escaped, quote_plus):
        if (needle := form(value)) in text:
            text = text.replace(needle, form(stand_in))
    return text


def _json_escaped(value: str) -> str:
    return json.dumps(value)[1:-1]


def _url_escaped(value: str) -> str:
    return quote(value, safe="")


def _clean_base64(token: str, pairs: list[tuple[str, str]]) -> str:
    decoded = _decoded(token)
    if not any(value.encode() in decoded for value, _ in pairs):
        return token
    for value, stand_in in pairs:
        decoded = decoded.replace(value.encode(), stand_in.encode())
    encoded = (base64.urlsafe_b64encode if set(token) & {"-", "_"} else base64.b64encode)(decoded).decode()
    unpadded = not token.endswith("=") and len(token) % 4 != 0
    return encoded.rstrip("=") if unpadded else encoded


def _decoded(token: str) -> bytes:
    plain = token.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        return b""
