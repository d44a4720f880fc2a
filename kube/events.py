"""What a controller says to people: Events of `events.k8s.io/v1`, each once, its repetitions counted.

`record` never waits and never fails: it puts a note into a bounded queue, and `run` sends it. The same about the same object again is
a PATCH of the first Event's series, not sooner than six seconds after the last. What cannot be sent is dropped: an Event is a courtesy.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kube.client import Client
from kube.errors import ApiError, NotFound
from kube.objects import Key, Raw, Resource, key_of, uid_of

EVENTS = Resource(group="events.k8s.io", version="v1", plural="events", kind="Event")
EventKind = Literal["Normal", "Warning"]

LONGEST_NOTE = 1024
MOST_WAITING = 1000
MOST_KEPT = 4096
FORGET_AFTER = 3600.0
REPEAT_AFTER = 6.0
DRAIN = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """`about` is the object's reference, `seen` the wall clock."""

    about: tuple[tuple[str, str], ...]
    type: EventKind
    reason: str
    action: str
    note: str
    seen: datetime

    @property
    def identity(self) -> tuple[object, ...]:
        return self.about, self.type, self.reason, self.action, self.note

    @property
    def namespace(self) -> str:
        return dict(self.about).get("namespace") or "default"


@dataclass(slots=True)
class Series:
    key: Key
    count: int
    sent: float


class Recorder:
    """`component` and `instance` say who reports; `now` is the wall clock."""

    def __init__(self, client: Client, *, component: str, instance: str, now: Callable[[], datetime], most: int = MOST_WAITING) -> None:
        self._client, self._component, self._instance, self._now = client, component, instance, now
        self._waiting: asyncio.Queue[Note] = asyncio.Queue(maxsize=most)
        self._series: OrderedDict[tuple[object, ...], Series] = OrderedDict()
        self.dropped = 0

    def record(self, about: Raw, *, type: EventKind, reason: str, action: str, note: str) -> None:  # noqa: A002 — the API's own word
        key = key_of(about)
        reference = {
            "apiVersion": str(about.get("apiVersion", "")),
            "kind": str(about.get("kind", "")),
            "name": key.name,
            "uid": uid_of(about),
            **({"namespace": key.namespace} if key.namespace else {}),
        }
        found = Note(about=tuple(reference.items()), type=type, reason=reason[:128], action=action[:128], note=cut(note), seen=self._now())
        try:
            self._waiting.put_nowait(found)
        except asyncio.QueueFull:
            self.dropped += 1

    async def run(self) -> None:
        """Until it is cancelled; then what waits is still sent, for two seconds at most."""
        try:
            while True:
                await self._send(await self._waiting.get())
        finally:
            try:
                async with asyncio.timeout(DRAIN):
                    while not self._waiting.empty():
                        await self._send(self._waiting.get_nowait())
            except TimeoutError:
                self.dropped += self._waiting.qsize()

    async def _send(self, note: Note) -> None:
        moment = asyncio.get_running_loop().time()
        known = self._series.get(note.identity)
        try:
            if known is None or moment > known.sent + FORGET_AFTER:
                await self._first(note, moment)
                return
            known.count += 1
            if moment >= known.sent + REPEAT_AFTER:
                await self._again(note, known, moment)
        except ApiError as error:
            self.dropped += 1
            log.info("an Event was not taken: %s", error)

    async def _first(self, note: Note, moment: float) -> None:
        digest = hashlib.sha256(repr((note.identity, note.seen)).encode()).hexdigest()[:16]
        name = f"{dict(note.about)['name'][:200]}.{digest}"
        body = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": note.namespace},
            "eventTime": micro(note.seen),
            "reportingController": self._component,
            "reportingInstance": self._instance[:128],
            "type": note.type,
            "reason": note.reason,
            "action": note.action,
            "note": note.note,
            "regarding": dict(note.about),
        }
        await self._client.create(EVENTS, body, namespace=note.namespace)
        self._series[note.identity] = Series(Key(note.namespace, name), 1, moment)
        self._series.move_to_end(note.identity)
        while len(self._series) > MOST_KEPT:
            self._series.popitem(last=False)

    async def _again(self, note: Note, series: Series, moment: float) -> None:
        body = {"series": {"count": series.count, "lastObservedTime": micro(note.seen)}}
        try:
            await self._client.merge_patch(EVENTS, series.key, body)
            series.sent = moment
        except NotFound:
            await self._first(note, moment)


def cut(note: str) -> str:
    """At most 1024 bytes, whole characters."""
    return note.encode()[:LONGEST_NOTE].decode(errors="ignore")


def micro(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
