"""A request as RBAC sees it: verb, group, resource, namespace, name; and what became of it, for tests that count.

In comes a method and a target, out goes an `Asked`. Bodies and tokens are not in it.
"""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "GET": "get", "HEAD": "get", "DELETE": "delete"}
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(slots=True, kw_only=True)
class Asked:
    """`began` and `ended` are of the monotonic clock, which all processes share. `code` is 0 where no answer was sent.

    `fault` is the action that a rule took, `forwarded` whether the API server saw the request, and `answered` whether it has answered:
    what it was asked to do is done, whatever the client heard of it.
    """

    began: float
    ended: float = 0.0
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    target: str
    user_agent: str = ""
    code: int = 0
    fault: str = ""
    forwarded: bool = False
    answered: bool = False

    @property
    def writes(self) -> bool:
        return self.verb in _WRITES


def read(method: str, target: str, *, began: float, user_agent: str = "") -> Asked:
    url = urlsplit(target)
    parts = [part for part in url.path.split("/") if part]
    group, rest = _group(parts)
    if rest is None:
        return Asked(began=began, verb=_VERBS.get(method, method.lower()), target=target, user_agent=user_agent)
    namespace, resource, name, subresource = _placed(rest)
    watches = parse_qs(url.query).get("watch", ["0"])[0] in ("1", "true")
    return Asked(
        began=began,
        verb=_verb(method, named=bool(name), watches=watches),
        group=group,
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=name,
        target=target,
        user_agent=user_agent,
    )


def _group(parts: list[str]) -> tuple[str, list[str] | None]:
    """And what follows the version; None for paths that name no resource."""
    if parts[:1] == ["api"] and len(parts) > 2:
        return "", parts[2:]
    if parts[:1] == ["apis"] and len(parts) > 3:
        return parts[1], parts[3:]
    return "", None


def _placed(rest: list[str]) -> tuple[str, str, str, str]:
    """Namespace, resource, name, subresource. A namespace itself lies in none, and `status` and `finalize` below one are its own."""
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    return namespace, resource, name, subresource


def _verb(method: str, *, named: bool, watches: bool) -> str:
    if method in ("GET", "HEAD") and (watches or not named):
        return "watch" if watches else "list"
    if method == "DELETE" and not named:
        return "deletecollection"
    return _VERBS.get(method, method.lower())
