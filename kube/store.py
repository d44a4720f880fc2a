"""What the API server said last, by key, with indexes over it.

In go objects as they came (`put`) or all there are (`replace`), out come the changes that this meant. Reads give the stored
dict itself: nobody may change it. An index maps a text to the keys of the objects that name it; an indexer that fails on a
broken object leaves that object out of its index and touches no other.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kube.failures import where
from kube.objects import Key, Raw, key_of, resource_version, uid_of

log = logging.getLogger(__name__)
Indexer = Callable[[Raw], Iterable[str]]
Raws = list[Raw]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """An object deleted and made anew under the same name is in `removed` (the old one) and in `added`."""

    added: list[Raw] = field(default_factory=list)
    changed: list[tuple[Raw, Raw]] = field(default_factory=list)
    removed: list[Raw] = field(default_factory=list)


class Index:
    """One indexer's values, both ways: which keys have a value, and which values a key had when it was put in."""

    def __init__(self, name: str, indexer: Indexer) -> None:
        self._name = name
        self._indexer = indexer
        self._keys: dict[str, set[Key]] = defaultdict(set)
        self._values: dict[Key, frozenset[str]] = {}
        self._failed = False

    def keys(self, value: str) -> frozenset[Key]:
        return frozenset(self._keys.get(value, ()))

    def put(self, key: Key, raw: Raw) -> None:
        values = self._values_of(key, raw)
        if values == self._values.get(key):
            return
        self.remove(key)
        if values:
            self._values[key] = values
        for value in values:
            self._keys[value].add(key)

    def remove(self, key: Key) -> None:
        for value in self._values.pop(key, ()):
            self._keys[value].discard(key)
            if not self._keys[value]:
                del self._keys[value]

    def _values_of(self, key: Key, raw: Raw) -> frozenset[str]:
        try:
            return frozenset(self._indexer(raw))
        except Exception as error:  # noqa: BLE001 — an object may hold anything; its text may be a secret, so only the class is said
            if not self._failed:
                log.warning("index %s: %s on %s: it is indexed under nothing (said once)", self._name, where(error), key)
            self._failed = True
            return frozenset()


class Store:
    def __init__(self, indexers: Mapping[str, Indexer] | None = None) -> None:
        self._objects: dict[Key, Raw] = {}
        self._namespaces: dict[str, dict[Key, Raw]] = defaultdict(dict)
        self._indexes = {name: Index(name, indexer) for name, indexer in (indexers or {}).items()}

    def get(self, key: Key) -> Raw | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Raws:
        """`None` is everything; an empty text is what lies in no namespace."""
        return list(self._objects.values() if namespace is None else self._namespaces.get(namespace, {}).values())

    def keys(self) -> frozenset[Key]:
        return frozenset(self._objects)

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: Key) -> bool:
        return key in self._objects

    def by_index(self, name: str, value: str) -> Raws:
        return [self._objects[key] for key in sorted(self._indexes[name].keys(value))]

    def put(self, raw: Raw) -> Raw | None:
        """What stood there before."""
        key = key_of(raw)
        old = self._objects.get(key)
        self._objects[key] = self._namespaces[key.namespace][key] = raw
        for index in self._indexes.values():
            index.put(key, raw)
        return old

    def remove(self, key: Key) -> Raw | None:
        old = self._objects.pop(key, None)
        if old is None:
            return None
        self._namespaces[key.namespace].pop(key)
        if not self._namespaces[key.namespace]:
            del self._namespaces[key.namespace]
        for index in self._indexes.values():
            index.remove(key)
        return old

    def replace(self, items: Iterable[Raw]) -> Changes:
        """Afterwards the store holds `items` and nothing else. What is the same in every field has not changed: the same
        resourceVersion alone may be another's, where the server's store was restored, and the kind may be read in another version.
        """
        wanted = {key_of(raw): raw for raw in items}
        changes = Changes(removed=[old for key in self._objects.keys() - wanted.keys() if (old := self.remove(key)) is not None])
        for raw in wanted.values():
            self._take(raw, changes)
        return changes

    def _take(self, raw: Raw, changes: Changes) -> None:
        old = self._objects.get(key_of(raw))
        if old is not None and old == raw and resource_version(raw) != "":
            return
        self.put(raw)
        if old is not None and uid_of(old) == uid_of(raw):
            changes.changed.append((old, raw))
            return
        if old is not None:
            changes.removed.append(old)
        changes.added.append(raw)
