"""What CEL expressions and templates can read of a request and of what became of it: the names, their kinds, and their values.

In: the request as the rules saw it, whose it is, the rule, its profile's inputs and, once they are known, result and response.
Out: one mapping by CEL's names, which templates read by Go's. The catalogue below is the only place where a name is decided.
What opens doors never gets in: headers and query parameters that carry credentials are left out before anything reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policy.patterns import shown
from policy.program import Rule
from policy.request import Request

Json = Any
"""What `json.dumps` takes: None, bool, int, float, str, list, dict with keys of text."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`fields` of a struct as (Go's name, CEL's name, kind), in the order in which JSON has them; `items` of a map or list."""

    name: str
    fields: tuple[tuple[str, str, "Kind"], ...] = ()
    items: "Kind | None" = None

    def field(self, go_name: str) -> "tuple[str, Kind] | None":
        return next(((cel, kind) for go, cel, kind in self.fields if go == go_name), None)


STRING, INT, BOOL = Kind("string"), Kind("int"), Kind("bool")
TEXTS = Kind("map", items=STRING)

REQUEST = Kind(
    "struct",
    fields=(
        ("Host", "host", STRING),
        ("Port", "port", INT),
        ("Path", "path", STRING),
        ("Method", "method", STRING),
        ("Scheme", "scheme", STRING),
        ("Headers", "headers", TEXTS),
        ("QueryParams", "queryParams", TEXTS),
    ),
)
POD = Kind(
    "struct", fields=(("Name", "name", STRING), ("Namespace", "namespace", STRING), ("IP", "ip", STRING), ("Labels", "labels", TEXTS))
)
PROFILE = Kind("struct", fields=(("Name", "name", STRING), ("Namespace", "namespace", STRING)))
RULE = Kind("struct", fields=(("Name", "name", STRING),))
RESPONSE = Kind("struct", fields=(("Status", "status", INT),))

_BEFORE = (
    ("Request", "request", REQUEST),
    ("Pod", "pod", POD),
    ("Profile", "profile", PROFILE),
    ("Rule", "rule", RULE),
    ("Inputs", "inputs", Kind("map", items=TEXTS)),
)
BEFORE = Kind("struct", fields=_BEFORE)
"""What is known before the request goes on: for parameters of credential providers."""
_AFTER = (*_BEFORE, ("Result", "result", STRING), ("Response", "response", RESPONSE))
AFTER = Kind("struct", fields=_AFTER)
"""What is known when it is over: for `when`."""
EVENT = Kind("struct", fields=(*_AFTER, ("Matched", "matched", BOOL), ("MatchedCriteria", "matchedCriteria", Kind("list", items=STRING))))
"""The same, and why the rule took part: for a webhook's templates."""

WITHHELD = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-goog-api-key", "sig", "key"}
)
"""Names under which credentials travel by custom; `_WORDS` catch their relatives. `key` alone is what Google calls it."""

_WORDS = (
    "token", "secret", "password", "credential", "apikey", "api-key", "auth-key", "access-key", "accesskey", "functions-key",
    "subscription-key", "authorization", "signature", "jwt",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """Whose request it is, as far as it is known."""

    namespace: str = ""
    name: str = ""
    ip: str = ""
    labels: tuple[tuple[str, str], ...] = ()


Inputs = Mapping[str, Mapping[str, str]]


def before(request: Request, pod: PodFacts, rule: Rule, inputs: Inputs) -> dict[str, Json]:
    """The values of `BEFORE`."""
    return {
        "request": _request(request, withheld_headers(rule)),
        "pod": {"name": text(pod.name), "namespace": text(pod.namespace), "ip": text(pod.ip), "labels": _texts(pod.labels)},
        "profile": {"name": rule.profile.name, "namespace": rule.profile.namespace},
        "rule": {"name": text(rule.name)},
        "inputs": {name: _texts(values.items()) for name, values in sorted(inputs.items())},
    }


def after(known: Mapping[str, Json], *, result: str, status: int | None) -> dict[str, Json]:
    """The values of `AFTER`, from those of `BEFORE`. Without an answer there is no `response.status`."""
    return {**known, "result": result, "response": {} if status is None else {"status": status}}


def withheld_headers(rule: Rule) -> frozenset[str]:
    form = rule.token or (rule.exchange.form if rule.exchange else None)
    target = getattr(form, "target_header", None)
    return WITHHELD | {target} if target else WITHHELD


def carries_credential(name: str) -> bool:
    """A header or a query parameter, by its name in lower case."""
    spelt = name.replace("_", "-")
    return spelt in WITHHELD or any(word in spelt for word in _WORDS)


def _request(request: Request, withheld: frozenset[str]) -> dict[str, Json]:
    headers = [(name, shown(value)) for name, value in request.headers if name not in withheld and not carries_credential(name)]
    parameters: dict[str, str] = {}
    for name, value in request.query:
        if not carries_credential(name.lower()):
            parameters.setdefault(text(shown(name)), text(shown(value)))
    return {
        "host": text(request.host),
        "port": request.port,
        "path": text(shown(request.path)),
        "method": text(request.method),
        "scheme": request.scheme,
        "headers": _texts(headers),
        "queryParams": dict(sorted(parameters.items())),
    }


def _texts(pairs: Any) -> dict[str, str]:
    return {text(name): text(value) for name, value in sorted(pairs)}


def text(value: str) -> str:
    """Fit for UTF-8 and for libraries in C: neither half characters nor NUL."""
    if value.isascii() and "\0" not in value:
        return value
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
