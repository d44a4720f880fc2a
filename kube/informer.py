"""One reflector and its store, shared by all who want to know: handlers hear of every change, in order, old and new.

A handler is told `(None, new)` of what is added, `(old, new)` of what changed, `(old, None)` of what is gone; it turns that into
keys for a queue and returns at once. Folding all it was told gives what the store holds, also across breaks of the connection:
a deletion that was missed is told after the next list, and an object made anew under its old name is first gone, then added.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from kube.client import Client
from kube.errors import ApiError
from kube.failures import where
from kube.objects import Raw, Resource, key_of, older, uid_of
from kube.reflector import DEFAULTS, Reflector, ReflectorSettings, Statistics, without_managed_fields
from kube.store import Indexer, Store

log = logging.getLogger(__name__)
Handler = Callable[[Raw | None, Raw | None], None]
Turned = Callable[[], None]


class Informer:
    """The store is changed before the handlers hear of it."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        transform: Callable[[Raw], Raw] = without_managed_fields,
        indexers: Mapping[str, Indexer] | None = None,
        settings: ReflectorSettings = DEFAULTS,
        random: Callable[[], float],
        otherwise: Sequence[Resource] = (),
        turned: Turned = lambda: None,
    ) -> None:
        """`otherwise`: the same kind in other versions, as for `Reflector`; `turned` too."""
        self.store = Store(indexers)
        self._handlers: list[Handler] = []
        self._filled = asyncio.Event()
        self._reflector = Reflector(
            client,
            resource,
            sink=self,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            metadata_only=metadata_only,
            transform=transform,
            settings=settings,
            random=random,
            otherwise=otherwise,
            turned=turned,
        )

    async def run(self) -> NoReturn:
        await self._reflector.run()

    @property
    def resource(self) -> Resource:
        """In the version in which it is read at this moment."""
        return self._reflector.resource

    @property
    def has_synced(self) -> bool:
        return self._filled.is_set()

    async def wait_synced(self) -> None:
        """Until the store was filled once and the handlers have heard of all that is in it."""
        await self._filled.wait()

    def behind(self, version: str) -> bool:
        """Whether it is known to have heard of nothing as new as that resourceVersion yet."""
        return older(self._reflector.resource_version, version)

    @property
    def healthy(self) -> bool:
        return self._reflector.healthy

    @property
    def last_error(self) -> ApiError | None:
        return self._reflector.last_error

    def statistics(self) -> Statistics:
        return self._reflector.statistics()

    def add_handler(self, handler: Handler) -> None:
        """It hears at once of all that is there."""
        self._handlers.append(handler)
        for raw in self.store.list():
            self._call(handler, None, raw)

    def replaced(self, items: list[Raw]) -> None:
        changes = self.store.replace(items)
        for old in changes.removed:
            self._tell(old, None)
        for new in changes.added:
            self._tell(None, new)
        for old, new in changes.changed:
            self._tell(old, new)
        self._filled.set()

    def changed(self, raw: Raw) -> None:
        old = self.store.put(raw)
        if old is not None and uid_of(old) != uid_of(raw):
            self._tell(old, None)
            old = None
        self._tell(old, raw)

    def removed(self, raw: Raw) -> None:
        """Of an earlier object of that name, it says nothing about the one there is now."""
        there = self.store.get(key_of(raw))
        if there is not None and uid_of(there) == uid_of(raw):
            self.store.remove(key_of(raw))
            self._tell(there, None)

    def _tell(self, old: Raw | None, new: Raw | None) -> None:
        for handler in tuple(self._handlers):
            self._call(handler, old, new)

    def _call(self, handler: Handler, old: Raw | None, new: Raw | None) -> None:
        try:
            handler(old, new)
        except Exception as error:  # noqa: BLE001 — the others must hear of it too; the text may hold what the object says
            key = key_of(new or old or {})
            log.error("%s %s: a handler failed: %s", self.resource, key, where(error))  # noqa: TRY400
