"""An annotation on a template's pods makes the kubelet refresh their volume: within a second instead of about ninety.

One patch a pod and content, not faster than the given rate, and once more two seconds later, because a kubelet may look before it
has heard of the Secret itself. A pod made after the Secret was written needs none. What is to be told stands in the pods' own
annotations, so that a restart continues where it was.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controller.compile.secret import CONTENT_HASH, SUFFIX
from controller.secret_writer import WRITTEN_AT
from daemon.kinds import PODS
from daemon.secret_reader import SecretReader
from kube import objects
from kube.client import Client
from kube.errors import ApiError, Invalid, NotFound
from kube.objects import Key, Raw
from kube.reconcile import Result
from kube.store import Store
from policy.template_hashes import HASH_LABEL, name_hash

REVISION = "groyne.dev/egress-revision"
AGAIN = ".2"
AGAIN_AFTER = 2.0
MOST_KEPT = 20_000
"""Pods that were told once; those that go before the second time would stay for ever."""
PODS_BY_HASH = "template"


def pods_by_hash(pod: Raw) -> tuple[str, ...]:
    """The index that a store of pods needs here."""
    found = objects.labels(pod).get(HASH_LABEL)
    return (f"{objects.key_of(pod).namespace}/{found}",) if found else ()


@dataclass(slots=True)
class Rate:
    """At most `per_second`, evenly."""

    per_second: float
    _next: float = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + 1 / self.per_second
        await asyncio.sleep(start - now)


@dataclass(slots=True, kw_only=True)
class Nudger:
    """A reconcile function, by template. `count` hears of each patch: `patched` or `failed`."""

    client: Client
    pods: Store
    secrets: SecretReader
    rate: Rate
    count: Callable[[str], None]
    _told: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def __call__(self, key: Key) -> Result:
        secret = self.secrets.metadata(Key(key.namespace, key.name + SUFFIX))
        if secret is None:
            return Result()
        notes = objects.annotations(secret)
        revision, written = notes.get(CONTENT_HASH, "")[:16], moment(notes.get(WRITTEN_AT))
        waiting = False
        failed: ApiError | None = None
        for pod in self.pods.by_index(PODS_BY_HASH, f"{key.namespace}/{name_hash(key.name)}"):
            try:
                waiting |= await self._nudge(pod, revision, written)
            except (NotFound, Invalid):
                continue
            except ApiError as error:
                self.count("failed")
                failed = error
        if failed:
            raise failed
        return Result(requeue_after=AGAIN_AFTER) if waiting else Result()

    async def _nudge(self, pod: Raw, revision: str, written: datetime | None) -> bool:
        """Whether the pod is to be told once more."""
        uid, seen = objects.uid_of(pod), objects.annotations(pod).get(REVISION)
        born = moment(objects.metadata(pod).get("creationTimestamp"))
        young = seen is None and written is not None and born is not None and born > written + timedelta(seconds=1)
        if not revision or young or seen == revision + AGAIN or objects.deleting(pod):
            self._told.pop(uid, None)
            return False
        now = asyncio.get_running_loop().time()
        told = self._told.get(uid)
        if told and told[0] == revision and now < told[1] + AGAIN_AFTER - 0.01:
            return True
        first = seen != revision and not (told and told[0] == revision)
        await self._patch(pod, revision if first else revision + AGAIN)
        if first:
            self._told[uid] = (revision, now)
            while len(self._told) > MOST_KEPT:
                del self._told[next(iter(self._told))]
        else:
            self._told.pop(uid, None)
        return first

    async def _patch(self, pod: Raw, value: str) -> None:
        await self.rate.turn()
        body = {"metadata": {"uid": objects.uid_of(pod), "annotations": {REVISION: value}}}
        await self.client.merge_patch(PODS, objects.key_of(pod), body)
        self.count("patched")


def moment(text: object) -> datetime | None:
    """RFC 3339, as Kubernetes writes it; None where it is none."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
