"""Every SandboxTemplate's identity, so that a profile finds the templates that it selects. Raw objects in, keys out. No I/O.

A template that cannot be read keeps the identity that it had: what its pods carry does not change by a mistake. One that is being
deleted is selected no more: what belonged to it goes as well, and nobody waits for it.
"""

from dataclasses import dataclass, field

from crds import parse
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from kube import objects
from kube.objects import Key, Raw
from policy.program import Identity, Profile
from policy.selector_index import LabelIndex
from policy.template_hashes import collisions, name_hash
from policy.template_identity import template_identity


@dataclass(slots=True)
class TemplateBook:
    _identities: dict[Key, Identity] = field(default_factory=dict)
    _index: LabelIndex[Key] = field(default_factory=LabelIndex)
    _hashes: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def put(self, raw: Raw) -> frozenset[Key]:
        """Other templates that share its hash: what is to be said of them may have changed."""
        key = objects.key_of(raw)
        if objects.deleting(raw):
            return self.remove(key)
        known = key in self._identities
        model = parse(raw).object
        if isinstance(model, SandboxTemplate):
            identity = template_identity(model)
            self._identities[key] = identity
            self._index.put(key, identity.namespace, identity.labels)
        names = self._hashes.setdefault((key.namespace, name_hash(key.name)), set())
        names.add(key.name)
        return frozenset() if known else self._partners(key)

    def remove(self, key: Key) -> frozenset[Key]:
        partners = self._partners(key)
        self._identities.pop(key, None)
        self._index.remove(key)
        place = key.namespace, name_hash(key.name)
        names = self._hashes.get(place, set())
        names.discard(key.name)
        if not names:
            self._hashes.pop(place, None)
        return partners

    def identity(self, key: Key) -> Identity | None:
        return self._identities.get(key)

    def selected_by(self, profile: Profile) -> frozenset[Key]:
        found = self._index.candidates(profile.ref.namespace, profile.selector)
        return frozenset(key for key in found if profile.selector.matches(dict(self._identities[key].labels)))

    def all_keys(self) -> frozenset[Key]:
        """Those that cannot be read too: somebody has to say so."""
        return frozenset(Key(namespace, name) for (namespace, _), names in self._hashes.items() for name in names)

    def of_hash(self, namespace: str, found: str) -> frozenset[Key]:
        return frozenset(Key(namespace, name) for name in self._hashes.get((namespace, found), ()))

    def in_namespace(self, namespace: str) -> frozenset[Key]:
        return frozenset(Key(namespace, name) for (of, _), names in self._hashes.items() if of == namespace for name in names)

    def collision(self, key: Key) -> Problem | None:
        names = self._hashes.get((key.namespace, name_hash(key.name)), set())
        return collisions((key.namespace, name) for name in names).get((key.namespace, key.name))

    def __len__(self) -> int:
        return len(self._identities)

    def _partners(self, key: Key) -> frozenset[Key]:
        names = self._hashes.get((key.namespace, name_hash(key.name)), set())
        return frozenset(Key(key.namespace, name) for name in names if name != key.name)
