"""Secrets of the namespaces that opted in: which there are, by their metadata alone, and the values of those that a profile names.

A namespace opts in by a label and a RoleBinding. Its Secrets are watched as metadata, so that no value is held that no profile
asked for; a value is read when it is first needed and again when its resourceVersion has moved. A Secret that could not be read is
an error to be tried again, never "missing".
"""

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from daemon.kinds import SECRETS
from kube import objects
from kube.client import Client
from kube.errors import ApiError, Forbidden, NotFound
from kube.informer import Informer
from kube.objects import Key, Raw

MOST_KEPT = 10_000


class Access(Enum):
    """Whether a namespace's Secrets can be read: OPEN, not (label or RoleBinding lacks), or not known yet."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A Secret as read. Its values show up in no repr."""

    version: str
    annotations: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class NotReadableYet(ApiError):  # noqa: N818 — a state, as those of kube.errors
    """The namespace's Secrets are about to be listed: to be tried again soon."""


class SecretReader:
    """`informer_of` answers the metadata informer of a namespace, or None where the namespace has not opted in."""

    def __init__(self, client: Client, informer_of: Callable[[str], Informer | None]) -> None:
        self._client, self._informer_of = client, informer_of
        self._kept: OrderedDict[Key, Found] = OrderedDict()
        self._reading: dict[Key, asyncio.Lock] = {}

    def access(self, namespace: str) -> Access:
        informer = self._informer_of(namespace)
        if informer is None or isinstance(informer.last_error, Forbidden):
            return Access.CLOSED
        return Access.OPEN if informer.has_synced else Access.UNKNOWN

    def metadata(self, key: Key) -> Raw | None:
        """What the watch says of it; None where there is none."""
        informer = self._informer_of(key.namespace)
        return informer.store.get(key) if informer else None

    def behind(self, key: Key, version: str) -> bool:
        """Whether the watch has not come as far as that version, so that it says nothing of it either way."""
        informer = self._informer_of(key.namespace)
        return informer is not None and informer.behind(version)

    async def read(self, key: Key) -> Found | None:
        """None where there is no such Secret. Only for namespaces with `Access.OPEN`."""
        seen = self.metadata(key)
        if seen is None:
            self.forget(key)
            return None
        async with self._reading.setdefault(key, asyncio.Lock()):
            kept = self._kept.get(key)
            if kept is None or kept.version != objects.resource_version(seen):
                kept = await self._fetch(key)
        self._reading.pop(key, None)
        return kept

    def forget_closed(self, namespace: str) -> None:
        """Where Secrets can be read no more, nothing that was read is held either; "" is everywhere."""
        if self.access(namespace) is Access.CLOSED:
            for key in [key for key in self._kept if namespace in ("", key.namespace)]:
                self.forget(key)

    def forget(self, key: Key) -> None:
        self._kept.pop(key, None)

    async def _fetch(self, key: Key) -> Found | None:
        try:
            found = read_secret(await self._client.get(SECRETS, key))
        except NotFound:
            self.forget(key)
            return None
        self._kept[key] = found
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found


def read_secret(raw: Raw) -> Found:
    return Found(version=objects.resource_version(raw), annotations=objects.annotations(raw), values=values_of(raw))


def values_of(raw: Raw) -> dict[str, bytes]:
    """What does not decode is left out: the API server lets nothing such in."""
    data = raw.get("data")
    found = {}
    for name, text in data.items() if isinstance(data, dict) else ():
        try:
            found[name] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError, TypeError):
            continue
    return found
