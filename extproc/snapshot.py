"""Everything that decisions are made by, as one immutable value that is swapped whole.

In: the compiled program and the Secrets, ConfigMaps, templates and pods that it may need, from whatever feed. Out: for a
caller a `View`, which finds the rules of a host without looking at others. Views are kept, since callers come again; a
new snapshot starts with none. How many profiles there are does not change how long a look-up takes.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from crds.problem import Problem
from dataplane.hosts import RuleIndex
from policy.domains import DomainPattern
from policy.evaluate import escaped_slash_hosts
from policy.program import Identity, Profile, ProfileRef, Program, Rule, SecretKeyRef, Selection
from policy.references import check_credential, refusal, secret_refs, withhold
from policy.selector_index import SelectorIndex

VIEWS = 4096
HOSTS = 32_768
"""Of all views together: clients choose the hosts that they ask for."""
LONGEST_NAME = 255

Key = TypeVar("Key")
Value = TypeVar("Value")
NamedIn = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretData:
    """A Secret as far as credentials go."""

    data: Mapping[str, bytes] = field(repr=False)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod that a shared gateway sees by its address."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a feed gathers. `templates` are the labels of a template's pods; `pods` are by address.

    `version` names the state of what was read, where whoever wrote it waits until it is decided by.
    """

    program: Program = field(default_factory=Program)
    secrets: Mapping[NamedIn, SecretData] = field(default_factory=dict, repr=False)
    config_maps: Mapping[NamedIn, Mapping[str, str]] = field(default_factory=dict)
    templates: Mapping[NamedIn, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    pods: Mapping[str, Pod] = field(default_factory=dict)
    version: str = ""


class Recent(OrderedDict[Key, Value]):
    """A dict that forgets what was not asked for longest."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def find(self, key: Key, make: Callable[[], Value]) -> Value:
        found = self.get(key)
        if found is None:
            found = self[key] = make()
            if len(self) > self._most:
                self.popitem(last=False)
        else:
            self.move_to_end(key)
        return found


class View:
    """What holds for one identity."""

    __slots__ = ("_hosts", "_index", "_number", "credentials", "escaped_slash_hosts", "inputs", "selection")

    def __init__(self, selection: Selection, sources: Sources, hosts: "Recent[tuple[int, str], tuple[Rule, ...]]", number: int) -> None:
        """What is found for a host is kept in `hosts`, with those of other views, under its `number`."""
        self.selection = withhold(selection, refused(selection, sources))
        self.credentials = usable(self.selection, sources)
        self.escaped_slash_hosts = escaped_slash_hosts(selection)
        self.inputs: Mapping[ProfileRef, Mapping[str, Mapping[str, str]]] = {
            profile.ref: read_inputs(profile, sources) for profile in selection.profiles if profile.inputs
        }
        self._index = RuleIndex(self.selection.rules)
        self._hosts, self._number = hosts, number

    def rules(self, host: str) -> tuple[Rule, ...]:
        """In order; those that speak of other hosts only are left out."""
        if len(host) > LONGEST_NAME:
            return self._covering(host)
        return self._hosts.find((self._number, host), lambda: self._covering(host))

    def _covering(self, host: str) -> tuple[Rule, ...]:
        return tuple(found.rule for found in self._index.covering(DomainPattern(text=host)))


class Snapshot:
    """Built off the path of requests; reading it changes nothing but what is kept for the next reader."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._index: SelectorIndex[int] = SelectorIndex()
        for number, profile in enumerate(sources.program.profiles):
            self._index.put(number, profile.ref.namespace, profile.selector)
        self._views: Recent[Identity, View] = Recent(VIEWS)
        self._hosts: Recent[tuple[int, str], tuple[Rule, ...]] = Recent(HOSTS)
        self._numbers = count()

    def view(self, identity: Identity) -> View:
        return self._views.find(identity, lambda: View(self._select(identity), self.sources, self._hosts, next(self._numbers)))

    def _select(self, identity: Identity) -> Selection:
        """As `Program.select`, without trying every profile."""
        labels = dict(identity.labels)
        profiles = self.sources.program.profiles
        numbers = sorted(set(self._index.candidates(identity.namespace, labels)))
        return Selection(profiles=tuple(profiles[n] for n in numbers if profiles[n].selector.matches(labels)), identity=identity)


def refused(selection: Selection, sources: Sources) -> dict[str, Problem]:
    """Rules whose Secret's owner does not let them have it, by id."""
    found = {}
    for use in secret_refs(selection):
        secret = sources.secrets.get((use.ref.namespace or "", use.ref.name))
        if secret is not None and (problem := refusal(use.rule, use.ref, secret.annotations)):
            found[use.rule.id] = problem
    return found


def usable(selection: Selection, sources: Sources) -> dict[SecretKeyRef, str]:
    """Those that have a value which a header can hold, and may be used."""
    found = {}
    for ref in dict.fromkeys(use.ref for use in secret_refs(selection) if not use.ref.withheld):
        secret = sources.secrets.get((ref.namespace or "", ref.name))
        value = check_credential(secret.data[ref.key]) if secret and ref.key in secret.data else None
        if isinstance(value, str):
            found[ref] = value
    return found


def read_inputs(profile: Profile, sources: Sources) -> dict[str, Mapping[str, str]]:
    """By name. Of a ConfigMap that is not there nothing is known, and an expression that reads it fails."""
    found: dict[str, Mapping[str, str]] = {}
    for each in profile.inputs:
        if each.config_map is None:
            found[each.name] = dict(each.inline)
        elif (values := sources.config_maps.get((each.config_map.namespace, each.config_map.name))) is not None:
            found[each.name] = values
    return found
