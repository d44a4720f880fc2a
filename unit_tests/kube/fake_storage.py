"""The objects of an API server in memory, each version of them, and who is told of a change.

A write that changes nothing makes no version. `compact` forgets the past: who watches from there, or reads on in a list from there,
is told that it has expired.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kube.objects import Key, Raw, Resource, key_of, metadata, uid_of
from unit_tests.kube.fake_edits import Owners


class RefusedError(Exception):
    """Answered as a Status."""

    def __init__(self, code: int, reason: str, message: str = "", details: Raw | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason}
        self.status |= {"message": message} | ({"details": details} if details else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`before` or `after` is missing for a creation or a deletion."""

    version: int
    resource: Resource
    before: Raw | None
    after: Raw | None


class Storage:
    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources = tuple(resources)
        self.version = 100
        self.oldest = 100
        self.changes: list[Change] = []
        self.clock: Callable[[], str] = lambda: "2026-01-01T00:00:00Z"
        self.listeners: set[Callable[[Change], None]] = set()
        self._objects: dict[Resource, dict[Key, Raw]] = {resource: {} for resource in self.resources}
        self._owners: dict[str, Owners] = {}
        self._uids = 0

    def objects(self, resource: Resource) -> dict[Key, Raw]:
        """Copies: what is there cannot be changed from outside."""
        return copy.deepcopy(self._objects[resource])

    def get(self, resource: Resource, key: Key) -> Raw | None:
        return copy.deepcopy(self._objects[resource].get(key))

    def owners(self, raw: Raw) -> Owners:
        return self._owners.setdefault(uid_of(raw), Owners())

    def create(self, resource: Resource, raw: Raw, *, manager: str = "test") -> Raw:
        made, key = copy.deepcopy(raw), key_of(raw)
        if key in self._objects[resource]:
            raise RefusedError(409, "AlreadyExists", f'{resource} "{key.name}" already exists')
        self._uids += 1
        made |= {"apiVersion": resource.api_version, "kind": resource.kind}
        made["metadata"] |= {"uid": f"uid-{self._uids}", "generation": 1, "creationTimestamp": self.clock()}
        self.owners(made).wrote(manager, {}, made)
        return self._commit(resource, None, made)

    def update(self, resource: Resource, key: Key, new: Raw, *, subresource: str = "", owned_anew: bool = False) -> Raw:
        """`new` is what the object would be; what a writer may not change stays. Who owns its fields is part of an object, too."""
        old = self.found(resource, key)
        after = self._admitted(old, copy.deepcopy(new), subresource)
        if after == old and not owned_anew:
            return copy.deepcopy(old)
        if metadata(old).get("deletionTimestamp") and not metadata(after).get("finalizers"):
            return self._commit(resource, old, None)
        return self._commit(resource, old, after)

    def delete(self, resource: Resource, key: Key, preconditions: Raw | None = None) -> Raw:
        old = self.found(resource, key)
        for name, value in (preconditions or {}).items():
            if value and metadata(old).get(name) != value:
                raise RefusedError(
                    409, "Conflict", f"Precondition failed: {name} in precondition: {value}, in object: {metadata(old).get(name)}"
                )
        if metadata(old).get("finalizers"):
            waiting = copy.deepcopy(old)
            waiting["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            return self._commit(resource, old, waiting) if waiting != old else waiting
        return self._commit(resource, old, None)

    def found(self, resource: Resource, key: Key) -> Raw:
        if (old := self._objects[resource].get(key)) is None:
            raise RefusedError(404, "NotFound", f'{resource} "{key.name}" not found')
        return old

    def compact(self) -> None:
        self.oldest = self.version
        self.changes.clear()

    def collect_garbage(self) -> int:
        """As the controller-manager does: what only gone objects own is deleted. Returns how many."""
        count = 0
        while orphans := [
            (resource, key) for resource in self.resources for key, raw in self._objects[resource].items() if self._orphan(raw)
        ]:
            for resource, key in orphans:
                self.delete(resource, key)
            count += len(orphans)
        return count

    def _orphan(self, raw: Raw) -> bool:
        alive = {uid_of(each) for objects in self._objects.values() for each in objects.values()}
        owners = metadata(raw).get("ownerReferences") or []
        return bool(owners) and not metadata(raw).get("deletionTimestamp") and all(owner["uid"] not in alive for owner in owners)

    def _admitted(self, old: Raw, new: Raw, subresource: str) -> Raw:
        if subresource == "status":
            new = {**old, "metadata": old["metadata"]} | ({"status": new["status"]} if "status" in new else {})
        elif "status" in old:
            new["status"] = old["status"]
        else:
            new.pop("status", None)
        kept = ("uid", "name", "namespace", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion")
        head = {**metadata(new), **{name: old["metadata"][name] for name in kept if name in old["metadata"]}}
        new |= {"metadata": head, "apiVersion": old["apiVersion"], "kind": old["kind"]}
        if _content(new) != _content(old):
            head["generation"] += 1
        return new

    def _commit(self, resource: Resource, before: Raw | None, after: Raw | None) -> Raw:
        self.version += 1
        said: Any = copy.deepcopy(after or before)
        said["metadata"]["resourceVersion"] = str(self.version)
        if after is None:
            del self._objects[resource][key_of(said)]
        else:
            self._objects[resource][key_of(said)] = said
        change = Change(version=self.version, resource=resource, before=before or None, after=said if after else None)
        self.changes.append(change)
        for listener in tuple(self.listeners):
            listener(change)
        return copy.deepcopy(said)


def _content(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if name not in ("metadata", "status")}
