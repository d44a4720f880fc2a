"""Values are read when they are needed, again when they have changed, and never where a namespace has not opted in."""

import asyncio

import pytest

from daemon.kinds import SECRETS
from daemon.secret_reader import Access, SecretReader, values_of
from kube.client import Client
from kube.errors import Unavailable
from kube.informer import Informer
from kube.objects import Key
from unit_tests.controller.raw_objects import secret
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

KEY = Key("team-a", "key")


def played(story, *raws, server: FakeServer | None = None):
    async def play():
        found = server or FakeServer([SECRETS])
        for raw in raws:
            found.storage.create(SECRETS, raw)
        client = Client(found, field_manager="test")
        informer = Informer(client, SECRETS, namespace="team-a", metadata_only=True, random=lambda: 0.5)
        reader = SecretReader(client, lambda namespace: informer if namespace == "team-a" else None)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(informer.run())
            await story(reader, found)
            task.cancel()

    run(play())


def gets(server: FakeServer) -> int:
    return sum(sent.verb == "get" for sent in server.sent)


async def settled():
    await asyncio.sleep(1)


def test_a_namespace_is_unknown_until_it_is_listed_then_open_and_closed_where_it_is_refused_or_has_not_opted_in():
    async def story(reader, server):
        assert reader.access("team-a") is Access.UNKNOWN
        assert reader.access("team-b") is Access.CLOSED
        await settled()
        assert reader.access("team-a") is Access.OPEN
        await reader.read(KEY)
        reader.forget_closed("team-a")
        assert list(reader._kept) == [KEY]
        server.before = lambda sent: refusal(403)
        for stream in server.streams:
            stream.end()
        await asyncio.sleep(30)
        assert reader.access("team-a") is Access.CLOSED
        reader.forget_closed("team-a")
        assert reader._kept == {}
        server.before = lambda sent: None
        await asyncio.sleep(60)
        assert reader.access("team-a") is Access.OPEN

    played(story, secret())


def test_a_server_that_is_away_closes_nothing():
    async def story(reader, server):
        await settled()
        server.before = lambda sent: refusal(500)
        for stream in server.streams:
            stream.cut()
        await asyncio.sleep(30)
        assert reader.access("team-a") is Access.OPEN

    played(story)


def test_a_value_is_read_once_and_again_when_it_has_changed():
    async def story(reader, server):
        await settled()
        for _ in range(3):
            assert (await reader.read(KEY)).values == {"apiKey": b"first-value"}
        assert gets(server) == 1
        server.storage.update(SECRETS, KEY, {**server.storage.get(SECRETS, KEY), "data": {"apiKey": "bmV3"}})
        await settled()
        assert (await reader.read(KEY)).values == {"apiKey": b"new"}
        assert gets(server) == 2

    played(story, secret())


def test_many_who_ask_at_once_cost_one_reading():
    async def story(reader, server):
        await settled()
        server.before = lambda sent: 1.0 if sent.verb == "get" else None
        found = await asyncio.gather(*(reader.read(KEY) for _ in range(20)))
        assert len({each.version for each in found}) == 1
        assert gets(server) == 1

    played(story, secret())


def test_of_a_secret_that_is_not_there_nothing_is_asked():
    async def story(reader, server):
        await settled()
        assert await reader.read(Key("team-a", "none")) is None
        assert gets(server) == 0

    played(story, secret())


def test_a_deleted_secret_has_no_value_from_then_on_and_is_not_remembered():
    async def story(reader, server):
        await settled()
        await reader.read(KEY)
        server.storage.delete(SECRETS, KEY)
        await settled()
        assert await reader.read(KEY) is None
        assert reader._kept == {}

    played(story, secret())


def test_one_that_goes_between_the_watch_and_the_reading_has_no_value_either():
    async def story(reader, server):
        await settled()
        for stream in server.streams:
            stream.mute()
        server.storage.delete(SECRETS, KEY)
        assert await reader.read(KEY) is None

    played(story, secret())


def test_a_reading_that_fails_is_an_error_and_the_next_one_is_made():
    async def story(reader, server):
        await settled()
        server.before = lambda sent: refusal(500)
        with pytest.raises(Unavailable):
            await reader.read(KEY)
        server.before = lambda sent: None
        assert (await reader.read(KEY)).values == {"apiKey": b"first-value"}

    played(story, secret())


def test_the_watch_holds_no_value():
    async def story(reader, server):
        await settled()
        assert "data" not in reader.metadata(KEY)
        assert reader.metadata(Key("team-b", "key")) is None

    played(story, secret())


@pytest.mark.parametrize("data", [None, "x", {"a": 7}, {"a": "no base64!"}, {"a": None}])
def test_what_does_not_decode_is_left_out(data):
    assert values_of({"data": data}) == {}


def test_a_value_shows_in_no_repr():
    async def story(reader, server):
        await settled()
        assert "first-value" not in repr(await reader.read(KEY))

    played(story, secret())
