"""Lines of a virtual host's first-match list, and what they need to know of the listener that they are made for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dataplane.external import External
from dataplane.predicates import Predicate
from dataplane.secrets import Layout
from dataplane.xds import Resource
from policy.domains import DomainPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A placeholder that stands for a credential: fine where a rule replaces it, refused everywhere else.

    `headers` are looked at on hosts that none of `hosts` covers.
    """

    placeholder: str
    credential: str
    headers: tuple[str, ...]
    hosts: tuple[DomainPattern, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the routes of one listener need to know besides the rules."""

    scheme: str
    layout: Layout
    available: frozenset[str]
    """Ids of the rules whose credential has a value."""
    guards: tuple[Guard, ...] = ()
    escaped_slash_hosts: tuple[DomainPattern, ...] = ()
    allowed_literals: frozenset[str] = frozenset()
    pinned_ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Hosts whose address was given by hand, with the only ports that it was given for."""

    external: External | None = None
    """Where ext-proc is, if it is."""

    pinned: bool = False
    """Whether the host at hand is one of those, so that its own clusters dial it."""

    def for_host(self, pattern: DomainPattern) -> "Context":
        return replace(self, pinned=pattern.text in self.pinned_ports)

    def escaped_slashes(self, pattern: DomainPattern) -> bool:
        return any(host.covers(pattern) for host in self.escaped_slash_hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a virtual host's first-match list."""

    condition: Predicate
    action: Resource


def first_match(entries: Iterable[tuple[Predicate, Resource]]) -> Resource:
    """A matcher list; what follows an entry that always matches is unreachable and left out."""
    tree: Resource = {}
    listed = []
    for condition, on_match in entries:
        if condition is True:
            tree["on_no_match"] = on_match
            break
        if condition is not False:
            listed.append({"predicate": condition, "on_match": on_match})
    if listed:
        tree["matcher_list"] = {"matchers": listed}
    return tree
