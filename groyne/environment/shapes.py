"""A placeholder of a credential's shape. Pure: a value and a source of randomness in, another value out.

Clients look at a key before they use it: OpenAI's want `sk-`, GitHub's `ghp_`, Slack's `xoxb-`, AWS counts characters, others
decode a JWT or parse JSON. So the prefix, the length, the separators and the kind of each character stay, and everything that
is secret is random. Where the alphabet and the length allow it, the placeholder contains the word `groyne`, so that a person who meets
it in a log knows what it is.
"""

import base64
import json
import random
import re
import string

_KNOWN_PREFIX = re.compile(
    r"sk-(?:proj|svcacct|admin)-|sk-ant-(?:api|oat|admin)\d\d-|sk-or-v\d-|sk-|gh[pousr]_|github_pat_|gl[a-z]{2,8}-|xox[a-z]-|xapp-\d-|"
    r"A[KS]IA|AIza|ya29\.|npm_|pypi-|hf_|r8_|gsk_|pplx-|[rsp]k_(?:live|test)_|whsec_|SG\.|do[opr]_v1_|shp[a-z]{2}_|lin_api_|"
    r"ntn_|secret_|figd_|tvly-|xai-|nvapi-|key-|dapi|Bearer |Basic |token "
)
# Up to two short words before something that looks random: `tok_live_8fK2…`, but not `correct-horse-battery`.
_WORDS = re.compile(r"(?:[A-Za-z]{2,8}\d{0,2}[-_]){1,2}")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_RUN = re.compile(r"[A-Za-z0-9]+")
_MARK = "groyne"
_LEAST_RANDOM = 16
_LEAST_AFTER_KNOWN = 4
_ROOM_FOR_MARK = 16
_NEVER_EXPIRES = 4102444800  # 2100-01-01: a client that looks must not try to refresh the placeholder

_HEX = frozenset("0123456789abcdef")


_TRIES = 16


def placeholder(value: str, rng: random.Random) -> str:
    """Of `value`'s shape, and never `value`."""
    for _ in range(_TRIES):
        made = _of_shape(value, rng)
        if made != value:
            return made
    # Nothing in it could be replaced: its shape cannot be kept.
    return _MARK + "".join(rng.choices(string.ascii_lowercase, k=_LEAST_RANDOM))


def _of_shape(value: str, rng: random.Random) -> str:
    if _JWT.fullmatch(value):
        return _jwt(value, rng)
    if value.startswith("{") and (document := _json_object(value)) is not None:
        made = _leaves(document, rng)
        return value if made == document else json.dumps(made)
    if value.startswith("-----BEGIN "):
        return "\n".join(line if line.startswith("-----") else _body(line, rng) for line in value.split("\n"))
    kept = _prefix(value)
    return value[:kept] + _body(value[kept:], rng)


def _prefix(value: str) -> int:
    known = _KNOWN_PREFIX.match(value)
    if known and len(value) - known.end() >= _LEAST_AFTER_KNOWN:
        return known.end()
    words = _WORDS.match(value)
    if words and len(value) - words.end() >= max(_LEAST_RANDOM, words.end()) and re.search(r"[0-9A-Z]", value[words.end() :]):
        return words.end()
    return 0


def _body(text: str, rng: random.Random) -> str:
    hexadecimal = _is_hexadecimal(text)
    made = "".join(_like(character, rng, hexadecimal=hexadecimal) for character in text)
    return made if hexadecimal else _marked(made)


def _is_hexadecimal(text: str) -> bool:
    one_case = text in {text.lower(), text.upper()}
    return one_case and {character for character in text.lower() if character.isalnum()} <= _HEX


def _like(character: str, rng: random.Random, *, hexadecimal: bool) -> str:
    if character in string.digits:
        return rng.choice(string.digits)
    if character in string.ascii_lowercase:
        return rng.choice("abcdef" if hexadecimal else string.ascii_lowercase)
    if character in string.ascii_uppercase:
        return rng.choice("ABCDEF" if hexadecimal else string.ascii_uppercase)
    return character if character.isascii() else rng.choice(string.ascii_lowercase)


def _marked(text: str) -> str:
    """The word at the start of the longest run of letters and digits, where it leaves enough that is random."""
    runs = [run for run in _RUN.finditer(text) if len(run[0]) >= _ROOM_FOR_MARK and not run[0].isdigit()]
    if not runs:
        return text
    longest = max(runs, key=lambda run: len(run[0]))
    mark = _MARK if any(character.islower() for character in longest[0]) else _MARK.upper()
    return text[: longest.start()] + mark + text[longest.start() + len(mark) :]


def _jwt(value: str, rng: random.Random) -> str:
    """The header says which algorithm and is no secret; the claims are of no one, and the signature signs nothing."""
    header, claims, signature = value.split(".")
    made: dict[str, object] = {"iss": _MARK, "sub": "placeholder", "iat": 0, "exp": _NEVER_EXPIRES}
    padding = len(claims) * 3 // 4 - len(json.dumps({**made, "jti": ""}))
    made["jti"] = "".join(rng.choices(string.ascii_lowercase, k=max(8, padding)))
    encoded = base64.urlsafe_b64encode(json.dumps(made).encode()).rstrip(b"=").decode()
    return f"{header}.{encoded}.{_body(signature, rng)}"


def _json_object(value: str) -> dict[str, object] | None:
    try:
        document = json.loads(value)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _leaves(document: object, rng: random.Random) -> object:
    """Every text but what names a kind or an address: the rest may be the secret."""
    if isinstance(document, dict):
        return {key: leaf if key == "type" else _leaves(leaf, rng) for key, leaf in document.items()}
    if isinstance(document, list):
        return [_leaves(leaf, rng) for leaf in document]
    if isinstance(document, str) and document and not document.startswith(("https://", "http://")):
        return placeholder(document, rng)
    return document
