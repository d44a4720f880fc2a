"""Keeps a sink saying what the API server says: list, then watch from the list's version, and again whatever breaks.

Every list is a consistent one (`resourceVersion` empty). A list out of the server's cache ("0", as client-go begins with) may be
older than what was seen before, and would undo it: something deleted comes back, something made is gone. Since 1.31 the server
answers consistent lists from its cache too, so that they cost little. A broken watch goes on where it was; a version that is no
longer known, or a watch that fails for long, is a reason to list again. So is an event older than one before it, for a watch
is in order: something between us and the server is not to be trusted.

A kind may be served in one version today and in another tomorrow. Where several are known, what is not found in one is looked for in
the others, the first of them that is served is read, and as long as that is not the very first, each watch begins with a look for a
better one: a changed definition ends the watches of its kind.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import NoReturn, Protocol

from kube.age import Age, older
from kube.answers import TOO_LARGE
from kube.backoff import Backoff
from kube.client import Client, Page, WatchEvent
from kube.errors import ApiError, Forbidden, Gone, Invalid, NotFound, Throttled, TimedOut, Unavailable
from kube.failures import where
from kube.objects import Raw, Resource, key_of, metadata, resource_version
from kube.paging import all_pages

log = logging.getLogger(__name__)

SLICE = 0.002
"""Seconds of events in a row before others have their turn: by the processor's clock, since a loop's may stand still meanwhile."""


class Sink(Protocol):
    """Where to. Called in order, never again before the call has returned."""

    def replaced(self, items: list[Raw]) -> None: ...
    def changed(self, raw: Raw) -> None: ...
    def removed(self, raw: Raw) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectorSettings:
    """Seconds, unless said otherwise."""

    page: int = 500  # items; halved as long as a page does not come within the client's deadline
    smallest_page: int = 10
    watch_least: float = 300.0  # the server ends a watch after a random time between these two,
    watch_most: float = 600.0  # so that many watches do not come back at once
    silence: float = 120.0  # bookmarks come every minute: two that do not come are a broken connection
    first_pause: float = 0.8  # client-go's, as is `healthy_after`
    longest_pause: float = 25.0  # theirs is 30, and twice that with jitter; ours lets a fault be over within 30 s of its end
    healthy_after: float = 120.0  # without a failure: pauses begin anew from the first
    short_watch: float = 5.0  # a watch that ends sooner is a failure, else a server that hangs up at once would be asked at once
    relist_after: float = 60.0  # of watches that all fail: the version itself may be what the server cannot bear
    longest_wait: float = 300.0  # that a server may ask for


DEFAULTS = ReflectorSettings()


def without_managed_fields(raw: Raw) -> Raw:
    """Half of an object's bytes, and nothing that we read."""
    metadata(raw).pop("managedFields", None)
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counted since the start. `repeated` are events that brought nothing new."""

    lists: int = 0
    watches: int = 0
    short_watches: int = 0
    events: int = 0
    repeated: int = 0
    failures: int = 0


class Reflector:
    """`synced` says that the sink has been filled once, and stays; `healthy` that nothing is wrong at this moment.

    The sink keeps what it has while the server cannot be asked, or refuses (403), or knows no such kind (404): that a kind is
    gone is not said of its objects. `last_error` says which, and it is tried again at the pace of any other failure. `turned` hears
    when that has become another class of error, or none.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        sink: Sink,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        transform: Callable[[Raw], Raw] = without_managed_fields,
        settings: ReflectorSettings = DEFAULTS,
        random: Callable[[], float],
        otherwise: Sequence[Resource] = (),
        turned: Callable[[], None] = lambda: None,
    ) -> None:
        """`otherwise`: the same kind in the versions to do with where `resource` is not served, the best first."""
        self.resource = resource
        self._versions = (resource, *otherwise)
        self.synced = False
        self.last_error: ApiError | None = None
        self._refused_once = False
        self.resource_version = ""
        self._client = client
        self._sink = sink
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._metadata_only = metadata_only
        self._transform = transform
        self._settings = settings
        self._random = random
        self._turned = turned
        self._page = settings.page
        self._must_list = True
        self._age = Age(resource)
        self._failing_since: float | None = None
        self._gone_until = 0.0
        self._statistics = Statistics()
        self._backoff = Backoff(first=settings.first_pause, most=settings.longest_pause, reset_after=settings.healthy_after, random=random)

    @property
    def healthy(self) -> bool:
        return self.synced and self.last_error is None

    def statistics(self) -> Statistics:
        return self._statistics

    async def run(self) -> NoReturn:
        """Ends only by being cancelled."""
        while True:
            try:
                await self._choose_version()
                await (self._list() if self._must_list else self._watch())
            except ApiError as error:
                await asyncio.sleep(self._failed(error))
            except Exception as error:  # noqa: BLE001 — a bug must not blind us for ever; its text may hold what an object says
                self._must_list = True
                await asyncio.sleep(self._failed(Unavailable(f"{self.resource}: {where(error)}")))

    async def _choose_version(self) -> None:
        missed = isinstance(self.last_error, NotFound)
        if len(self._versions) == 1 or (self.resource == self._versions[0] and not missed):
            return
        served = await self._served()
        if served != self.resource:
            log.info("%s: read as %s from now on", self.resource, served.version)
            self.resource, self._must_list = served, True

    async def _served(self) -> Resource:
        for resource in self._versions:
            try:
                await self._client.list_page(resource, namespace=self._namespace, limit=1, metadata_only=True)
            except NotFound:
                continue
            return resource
        raise NotFound(f"{self.resource}: served in no version that is known here", status=404)

    async def _list(self) -> None:
        self._count(lists=1)
        try:
            items, version = await self._all_pages()
        except TimedOut:
            self._page = max(self._settings.smallest_page, (self._page or self._settings.page) // 2)
            raise
        self._page = self._settings.page
        self._age.believe(version, self.resource_version)
        self._sink.replaced(items)
        self.resource_version, self._must_list, self.synced = version, False, True
        self._connected()
        self._failing_since = None

    async def _all_pages(self) -> tuple[list[Raw], str]:
        """All pages are of one moment, that of the first."""
        items: list[Raw] = []
        version = ""
        async with aclosing(all_pages(self._next_page)) as pages:
            async for page in pages:
                items += self._transformed(page.items)
                version = version or page.resource_version
        return items, version

    async def _next_page(self, token: str) -> Page:
        try:
            page = await self._ask(token)
        except Gone:
            self._page = 0 if token else self._page  # all at once: else the next attempt may take as long, and expire again
            raise
        if page.dropped:
            log.warning("%s: %d items without a name are left out", self.resource, page.dropped)
        return page

    async def _ask(self, token: str) -> Page:
        return await self._client.list_page(
            self.resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=self._page,
            continue_=token,
            metadata_only=self._metadata_only,
        )

    async def _first_item(self) -> Page:
        return await self._client.list_page(self.resource, namespace=self._namespace, limit=1, metadata_only=True)

    async def _watch(self) -> None:
        if self._age.uncertain and not await self._age.look(self._first_item, self.resource_version):
            self._must_list = True
            return
        self._count(watches=1)
        began = self._now()
        least, most = self._settings.watch_least, self._settings.watch_most
        opening = self._client.watch(
            self.resource,
            namespace=self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            resource_version=self.resource_version,
            timeout_seconds=int(least + (most - least) * self._random()),
            metadata_only=self._metadata_only,
            silence=self._settings.silence,
        )
        async with self._age.reached(opening) as events:
            self._connected()
            since = perf_counter()
            async for event in events:
                self._take(event)
                if perf_counter() - since >= SLICE:
                    await asyncio.sleep(0)
                    since = perf_counter()
        if self._now() - began < self._settings.short_watch:
            self._count(short_watches=1)
            raise Unavailable(f"watch {self.resource}: ended as soon as it had begun")
        self._failing_since = None

    def _take(self, event: WatchEvent) -> None:
        version = resource_version(event.object)
        if version and not self._newer(version):
            return
        if event.type == "DELETED":
            self._sink.removed(event.object)
        elif event.type != "BOOKMARK":
            for raw in self._transformed([event.object]):
                self._sink.changed(raw)
        if version:
            self.resource_version = version
            self._failing_since = None
        self._count(events=event.type != "BOOKMARK")

    def _newer(self, version: str) -> bool:
        """Versions that are no numbers have no order, so whatever is different is newer."""
        if version == self.resource_version:
            self._count(repeated=1)
            return False
        if older(version, self.resource_version):
            self._count(repeated=1)
            self._age.doubt()
            self._must_list = True
            raise Unavailable(f"watch {self.resource}: an event older than the one before")
        return True

    def _transformed(self, items: list[Raw]) -> list[Raw]:
        """What cannot be transformed is left out, and never kept as it came: the transformation may be what hides a secret."""
        kept = []
        for raw in items:
            try:
                kept.append(self._transform(raw))
            except Exception as error:  # noqa: BLE001 — an object may hold anything
                log.warning("%s %s: %s: it is left out", self.resource, key_of(raw), where(error))
        return kept

    def _connected(self) -> None:
        if self.last_error is not None and self._statistics.failures:
            log.info("%s: connected", self.resource)
        self._note(None)

    def _note(self, error: ApiError | None) -> None:
        before, self.last_error = self.last_error, error
        if type(before) is not type(error):
            self._turned()

    def _too_soon(self, error: ApiError) -> bool:
        """Whether it is a refusal by an API server that has just come back. It serves before it has read its RBAC objects, and refuses
        everybody: the first refusal after other failures is not believed, the next one is.
        """
        away = self.last_error is not None and not isinstance(self.last_error, Forbidden)
        self._refused_once, before = isinstance(error, Forbidden) and away, self._refused_once
        return self._refused_once and not before

    def _failed(self, error: ApiError) -> float:
        """The pause before the next attempt."""
        level = logging.DEBUG if type(error) is type(self.last_error) else logging.WARNING
        log.log(level, "%s: %s", self.resource, error)
        now = self._now()
        self._count(failures=1)
        if not self._too_soon(error):
            self._note(error)
        self._failing_since = now if self._failing_since is None else self._failing_since
        if error.reason == TOO_LARGE:
            self._age.doubt()
        unknown = isinstance(error, Gone | Invalid) or error.reason == TOO_LARGE
        too_long = now - self._failing_since >= self._settings.relist_after and not isinstance(error, Throttled)
        self._must_list = self._must_list or unknown or too_long
        if isinstance(error, Gone):
            self._begin_anew(now)
        return max(self._backoff.next(), min(error.retry_after or 0, self._settings.longest_wait))

    def _begin_anew(self, now: float) -> None:
        """A server that was away answers again and knows no version from before: what to do is known, and pauses that have grown while it
        was away are no reason to wait. One that says so again and again is waited for like any other failure.
        """
        if now >= self._gone_until:
            self._backoff.reset()
        self._gone_until = now + self._settings.healthy_after

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _count(self, **more: int) -> None:
        self._statistics = replace(self._statistics, **{name: getattr(self._statistics, name) + n for name, n in more.items()})
