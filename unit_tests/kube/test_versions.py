"""A kind that its owner serves in other versions as time goes by: the informer reads what is served, and every object is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from kube.carrier import Answer, Stream
from kube.client import Client
from kube.errors import NotFound
from kube.informer import Informer
from kube.objects import Key, Raw, Resource
from unit_tests.kube.fake_server import FakeServer
from unit_tests.kube.fake_streams import FakeStream
from unit_tests.kube.virtual import run

NEW = Resource(group="example.com", version="v1beta1", plural="things", kind="Thing")
OLD = Resource(group="example.com", version="v1alpha1", plural="things", kind="Thing")
MISSING = Answer(status=404, body=b"404 page not found")


class Served:
    """A server that has things, in the versions of `versions`: what is asked for in another is not found."""

    def __init__(self, *versions: str) -> None:
        self.versions = set(versions)
        self.server = FakeServer([NEW])
        self.asked: list[str] = []

    async def request(self, method: str, path: str, **more: Any) -> Answer:
        self.asked.append(path)
        if self._version(path) not in self.versions:
            return MISSING
        return await self.server.request(method, path.replace(self._version(path), NEW.version), **more)

    @asynccontextmanager
    async def stream(self, path: str, **more: Any) -> AsyncIterator[Stream]:
        if self._version(path) not in self.versions:
            yield FakeStream(MISSING.status, MISSING.headers, MISSING.body)
            return
        async with self.server.stream(path.replace(self._version(path), NEW.version), **more) as opened:
            yield opened

    def redefine(self, *versions: str) -> None:
        """As an API server does with a changed definition: the watches of the kind end."""
        self.versions = set(versions)
        for watch in self.server.streams:
            watch.end()

    def create(self, name: str) -> None:
        self.server.storage.create(NEW, {"metadata": {"name": name, "namespace": "x"}})

    @staticmethod
    def _version(path: str) -> str:
        return path.split("/")[3]


def story(*versions: str, then: Callable[[Served, Informer], Any]) -> tuple[Served, Informer]:
    served = Served(*versions)

    async def told() -> Informer:
        served.create("a")
        informer = Informer(Client(served, field_manager="test"), NEW, otherwise=(OLD,), random=lambda: 0.5)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(informer.run())
            await then(served, informer)
            task.cancel()
        return informer

    return served, run(told())


async def synced(_: Served, informer: Informer) -> None:
    await informer.wait_synced()


def versions_of(informer: Informer) -> dict[str, str]:
    return {raw["metadata"]["name"]: raw["apiVersion"].rpartition("/")[2] for raw in informer.store.list()}


def test_where_the_first_version_is_served_nothing_else_is_asked_for() -> None:
    served, informer = story("v1beta1", "v1alpha1", then=synced)
    assert informer.resource == NEW
    assert served.asked == ["/apis/example.com/v1beta1/things"]


def test_what_is_served_in_the_older_version_alone_is_read_in_it_within_seconds() -> None:
    _, informer = story("v1alpha1", then=synced)
    assert informer.resource == OLD
    assert versions_of(informer) == {"a": "v1alpha1"}


def test_when_the_better_version_comes_it_is_read_in_that_and_the_handlers_hear_of_each_object() -> None:
    heard: list[tuple[str, str]] = []

    async def upgrade(served: Served, informer: Informer) -> None:
        await informer.wait_synced()
        await asyncio.sleep(10)

        def handler(old: Raw | None, new: Raw | None) -> None:
            heard.append(tuple((each or {}).get("apiVersion", "").rpartition("/")[2] for each in (old, new)))  # type: ignore[arg-type]

        informer.add_handler(handler)
        served.redefine("v1alpha1", "v1beta1")
        await asyncio.sleep(3)
        served.create("b")
        await asyncio.sleep(1)

    _, informer = story("v1alpha1", then=upgrade)
    assert informer.resource == NEW
    assert versions_of(informer) == {"a": "v1beta1", "b": "v1beta1"}
    assert heard == [("", "v1alpha1"), ("v1alpha1", "v1beta1"), ("", "v1beta1")]


def test_when_the_version_that_is_read_goes_another_is_found_and_no_object_is_ever_said_to_be_gone() -> None:
    gone: list[Raw] = []

    async def downgrade(served: Served, informer: Informer) -> None:
        await informer.wait_synced()
        informer.add_handler(lambda old, new: gone.append(old or {}) if new is None else None)
        await asyncio.sleep(10)
        served.redefine("v1alpha1")
        await asyncio.sleep(30)

    _, informer = story("v1beta1", then=downgrade)
    assert informer.resource == OLD
    assert informer.healthy
    assert Key("x", "a") in informer.store
    assert gone == []


def test_where_no_version_is_served_that_is_said_and_looked_for_again() -> None:
    async def installed_late(served: Served, informer: Informer) -> None:
        await asyncio.sleep(100)
        assert isinstance(informer.last_error, NotFound)
        assert not informer.has_synced
        served.redefine("v1alpha1")
        await asyncio.sleep(60)

    _, informer = story(then=installed_late)
    assert informer.resource == OLD
    assert informer.has_synced
