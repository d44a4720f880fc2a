"""The Secrets of each namespace that opted in, watched for as long as it does: one metadata informer a namespace, or one for all.

A namespace whose RoleBinding lacks is asked again and again, slowly, by its reflector; it disturbs no other. Label and RoleBinding may
come and go at any time: whoever depends on the namespace's Secrets must hear of each turn.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from kube.errors import Forbidden
from kube.informer import Informer, Turned

EVERYWHERE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    informer: Informer
    task: asyncio.Task[None]


@dataclass(slots=True, kw_only=True)
class OptedIn:
    """`make` builds a namespace's informer; `changed` hears when its Secrets can be read, when no more, and when again."""

    group: asyncio.TaskGroup
    make: Callable[[str, Turned], Informer]
    changed: Callable[[str], None]
    _watched: dict[str, Watched] = field(default_factory=dict)

    def add(self, namespace: str) -> None:
        if namespace in self._watched:
            return
        informer = self.make(namespace, lambda: self.changed(namespace))
        task = self.group.create_task(self._watch(namespace, informer), name=f"secrets {namespace or 'everywhere'}")
        self._watched[namespace] = Watched(informer=informer, task=task)

    def remove(self, namespace: str) -> None:
        watched = self._watched.pop(namespace, None)
        if watched:
            watched.task.cancel()
            self.changed(namespace)

    def informer(self, namespace: str) -> Informer | None:
        watched = self._watched.get(EVERYWHERE) or self._watched.get(namespace)
        return watched.informer if watched else None

    @property
    def open(self) -> list[str]:
        """Namespaces whose Secrets are known; "" is everywhere."""
        return [name for name, watched in self._watched.items() if watched.informer.has_synced]

    @property
    def pending(self) -> list[str]:
        """Namespaces of which neither their Secrets are known nor that they may not be read: a server that is away says neither."""
        return [name for name, watched in self._watched.items() if not known(watched.informer)]

    @property
    def untried(self) -> list[str]:
        """Namespaces that the API server has said nothing about: for whom one namespace's trouble is no reason to wait."""
        return [name for name, watched in self._watched.items() if not watched.informer.has_synced and watched.informer.last_error is None]

    async def _watch(self, namespace: str, informer: Informer) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                group.create_task(informer.run())
                await informer.wait_synced()
                self.changed(namespace)


def known(informer: Informer) -> bool:
    return informer.has_synced or isinstance(informer.last_error, Forbidden)
