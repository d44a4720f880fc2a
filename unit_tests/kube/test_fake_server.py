"""The server in memory says what a real one said, and a fault in it happens before or after the write, as told."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.client import Client
from kube.errors import ApiError, Gone, NotFound, TimedOut, Unavailable
from kube.objects import Key, Raw
from unit_tests.kube.conformance import BUDGETS, MAPS, SAID, Conversation, config_map
from unit_tests.kube.fake_edits import Owners, leaves, merge
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

KEY = Key("team", "x")
MADE = config_map("x", {"a": "1"}, namespace="team")


def test_it_says_what_a_real_server_said() -> None:
    async def talk() -> list[str]:
        return await Conversation(Client(FakeServer([MAPS, BUDGETS]), field_manager="groyne"), "default").all()

    assert run(talk()) == SAID


def tried(server: FakeServer, does: Any) -> Any:
    async def trying() -> Any:
        try:
            return await does(Client(server, field_manager="test", deadline=10))
        except ApiError as error:
            return error

    return run(trying())


def test_a_fault_before_a_write_leaves_nothing_written() -> None:
    server = FakeServer([MAPS], before=lambda sent: Unavailable("cut"))
    assert isinstance(tried(server, lambda c: c.create(MAPS, MADE, namespace="team")), Unavailable)
    assert not server.storage.objects(MAPS)


@pytest.mark.parametrize("fault", [Unavailable("cut"), refusal(500), 60.0])
def test_a_fault_after_a_write_loses_the_answer_only(fault: Any) -> None:
    server = FakeServer([MAPS], after=lambda sent, answer: fault)
    assert isinstance(tried(server, lambda c: c.create(MAPS, MADE, namespace="team")), Unavailable)
    assert list(server.storage.objects(MAPS)) == [KEY]


def test_a_delay_beyond_the_deadline_is_no_answer_in_time() -> None:
    server = FakeServer([MAPS], before=lambda sent: 11.0)
    assert isinstance(tried(server, lambda c: c.create(MAPS, MADE, namespace="team")), TimedOut)
    assert not server.storage.objects(MAPS)


def test_after_a_compaction_pages_and_watches_from_before_have_expired() -> None:
    async def compacted() -> list[str]:
        server = FakeServer([MAPS])
        client, seen = Client(server, field_manager="test"), []
        for name in ("a", "b", "c"):
            server.storage.create(MAPS, config_map(name, {}, namespace="team"))
        page = await client.list_page(MAPS, limit=2)
        server.storage.create(MAPS, MADE)
        server.storage.compact()
        for does in (client.list_page(MAPS, continue_=page.continue_), watch_one(client, page.resource_version)):
            with pytest.raises(Gone) as raised:
                await does
            seen.append(raised.value.reason)
        return seen

    assert run(compacted()) == ["Expired", "Expired"]


async def watch_one(client: Client, version: str) -> str:
    async with client.watch(MAPS, resource_version=version, timeout_seconds=90) as events:
        return (await anext(events)).type


def test_a_quiet_watch_has_a_bookmark_a_minute_and_ends_when_asked() -> None:
    async def quiet() -> tuple[list[str], float]:
        server = FakeServer([MAPS])
        client = Client(server, field_manager="test")
        async with client.watch(MAPS, resource_version="100", timeout_seconds=150) as events:
            return [event.type async for event in events], asyncio.get_running_loop().time()

    seen, seconds = run(quiet())
    assert seen == ["BOOKMARK", "BOOKMARK"]
    assert seconds == pytest.approx(150, abs=0.1)


def test_what_only_gone_objects_own_is_collected_down_to_the_last() -> None:
    storage = FakeServer([MAPS, BUDGETS]).storage
    owner = storage.create(BUDGETS, {"metadata": {"name": "owner", "namespace": "team"}})
    child = storage.create(MAPS, owned("child", owner))
    storage.create(MAPS, owned("grandchild", child))
    storage.create(MAPS, MADE)
    assert storage.collect_garbage() == 0
    storage.delete(BUDGETS, Key("team", "owner"))
    assert storage.collect_garbage() == 2
    assert list(storage.objects(MAPS)) == [KEY]


def owned(name: str, owner: Raw) -> Raw:
    return config_map(name, {}, namespace="team", ownerReferences=[{"uid": owner["metadata"]["uid"]}])


def test_a_kind_that_it_does_not_know_is_not_found() -> None:
    assert isinstance(tried(FakeServer([MAPS]), lambda c: c.list_page(BUDGETS)), NotFound)


def test_every_request_is_written_down() -> None:
    server = FakeServer([MAPS])
    tried(server, lambda c: c.create(MAPS, MADE, namespace="team"))
    tried(server, lambda c: c.merge_patch(MAPS, KEY, {"data": {"b": "2"}}))
    tried(server, lambda c: c.get(MAPS, KEY))
    assert [(sent.verb, sent.key.name) for sent in server.sent] == [("create", ""), ("patch", "x"), ("get", "x")]
    assert [sent.body for sent in server.writes()][1] == {"data": {"b": "2"}}


DATA = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xy"), max_size=4)


@given(writes=st.lists(st.tuples(st.sampled_from(["one", "two"]), st.dictionaries(st.sampled_from("abcd"), st.just("same"), max_size=4))))
def test_who_alone_applies_a_field_and_applies_it_no_longer_takes_it_away(writes: list[tuple[str, dict[str, str]]]) -> None:
    owners, live, wanted = Owners(), {}, dict[str, dict[str, str]]()
    for manager, data in writes:
        live = owners.apply(manager, live, {"data": data}, force=True)
        wanted[manager] = data
        there = {path[1]: value for path, value in leaves(live).items() if len(path) > 1}
        assert {**there, **data} == there
        assert set(there) == set().union(*wanted.values())


@given(live=st.recursive(st.text(), lambda inner: st.dictionaries(st.text(), inner)), wanted=st.dictionaries(st.text(), st.text() | DATA))
def test_merging_what_is_wanted_gives_it_and_is_the_same_twice(live: Any, wanted: Any) -> None:
    merged = merge(live, wanted)
    assert merge(merged, wanted) == merged
    assert all(merged[name] == value or isinstance(value, dict) for name, value in wanted.items())
