"""What handlers hear: everything, in order, old and new, and what the store holds when they hear it."""

import asyncio
from typing import Any

import pytest

from kube.client import Client
from kube.informer import Informer
from kube.objects import Key, Raw, key_of
from unit_tests.kube.fake_server import refusal
from unit_tests.kube.scripted import MAPS, Script, config_map, event, listed, watched
from unit_tests.kube.virtual import run

A, B = config_map("a", 5), config_map("b", 7)
GONE = refusal(410, "Expired")


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, old: Raw | None, new: Raw | None) -> None:
        self.heard.append(f"{shown(old)} -> {shown(new)}")


def shown(raw: Raw | None) -> str:
    return f"{raw['metadata']['name']}{raw['metadata']['resourceVersion']}" if raw else "none"


def informed(*steps: Any, handlers: Any = (), seconds: float = 60) -> Informer:
    async def inform() -> Informer:
        informer = Informer(
            Client(Script(*steps), field_manager="test"), MAPS, random=lambda: 0.5, indexers={"v": lambda raw: [raw["data"]["v"]]}
        )
        for handler in handlers:
            informer.add_handler(handler)
        assert not informer.has_synced
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await informer.run()
        return informer

    return run(inform())


def test_handlers_hear_what_was_and_what_is() -> None:
    ear = Ear()
    changes = (event("ADDED", config_map("c", 11)), event("MODIFIED", config_map("a", 12)), event("DELETED", config_map("b", 13)))
    informed(listed(10, A, B), watched(*changes), handlers=[ear])
    assert ear.heard == ["none -> a5", "none -> b7", "none -> c11", "a5 -> a12", "b7 -> none"]


def test_what_was_missed_is_heard_after_the_next_list() -> None:
    ear = Ear()
    informed(listed(10, A, B), GONE, listed(20, config_map("b", 15), config_map("c", 16)), handlers=[ear])
    assert ear.heard[2:] == ["a5 -> none", "none -> c16", "b7 -> b15"]


def test_what_has_not_changed_is_not_heard_again() -> None:
    ear = Ear()
    informed(listed(10, A, B), GONE, listed(20, A, B), handlers=[ear])
    assert len(ear.heard) == 2


@pytest.mark.parametrize("how", [watched(event("MODIFIED", config_map("a", 15, uid="other"))), "list"])
def test_an_object_made_anew_under_its_name_is_gone_and_then_added(how: Any) -> None:
    ear = Ear()
    steps = (GONE, listed(20, config_map("a", 15, uid="other"))) if how == "list" else (how,)
    informed(listed(10, A), *steps, handlers=[ear])
    assert ear.heard == ["none -> a5", "a5 -> none", "none -> a15"]


def test_the_deletion_of_an_earlier_object_of_that_name_says_nothing_of_this_one() -> None:
    ear = Ear()
    informer = informed(
        listed(10, A), watched(event("DELETED", config_map("a", 11, uid="other")), event("DELETED", config_map("z", 12))), handlers=[ear]
    )
    assert ear.heard == ["none -> a5"]
    assert informer.store.get(Key("default", "a"))


def test_a_handler_that_fails_stops_neither_the_others_nor_itself(caplog: pytest.LogCaptureFixture) -> None:
    ear = Ear()

    def failing(old: Raw | None, new: Raw | None) -> None:
        raise ValueError("hunter2")

    informed(listed(10, A, B), handlers=[failing, ear])
    assert ear.heard == ["none -> a5", "none -> b7"]
    assert caplog.text.count("a handler failed: ValueError at test_informer.py") == 2
    assert "default/a" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_handler_that_comes_late_hears_first_of_all_that_is_there() -> None:
    async def late() -> list[str]:
        script = Script(
            listed(10, A, B), watched(event("DELETED", config_map("a", 11)), then=50), watched(event("ADDED", config_map("c", 12)))
        )
        informer, ear = Informer(Client(script, field_manager="test"), MAPS, random=lambda: 0.5), Ear()
        running = asyncio.get_running_loop().create_task(informer.run())
        await asyncio.sleep(10)
        informer.add_handler(ear)
        await asyncio.sleep(60)
        running.cancel()
        return ear.heard

    assert run(late()) == ["none -> b7", "none -> c12"]


def test_a_handler_may_add_a_handler() -> None:
    async def adding() -> list[str]:
        script = Script(listed(10, A), watched(event("ADDED", config_map("c", 12))))
        informer, ear = Informer(Client(script, field_manager="test"), MAPS, random=lambda: 0.5), Ear()
        added = False

        def adds(old: Raw | None, new: Raw | None) -> None:
            nonlocal added
            if not added:
                added = True
                informer.add_handler(ear)

        informer.add_handler(adds)
        running = asyncio.get_running_loop().create_task(informer.run())
        await asyncio.sleep(10)
        running.cancel()
        return ear.heard

    assert run(adding()) == ["none -> a5", "none -> c12"]


def test_it_has_synced_when_the_handlers_have_heard_of_the_first_list_and_not_before() -> None:
    async def syncing() -> tuple[float, list[str]]:
        script = Script(refusal(500), listed(10, A, token="t"), listed(10, B), watched())
        informer, ear = Informer(Client(script, field_manager="test"), MAPS, random=lambda: 0.0), Ear()
        informer.add_handler(ear)
        running = asyncio.get_running_loop().create_task(informer.run())
        await informer.wait_synced()
        assert informer.has_synced
        assert informer.last_error is None
        running.cancel()
        return asyncio.get_running_loop().time(), ear.heard

    seconds, heard = run(syncing())
    assert 0.8 <= seconds < 1
    assert heard == ["none -> a5", "none -> b7"]


def test_an_empty_world_is_synced_too() -> None:
    assert informed(listed(10), watched()).has_synced


def test_it_is_behind_a_version_that_it_has_not_heard_of_and_not_behind_one_that_went_by() -> None:
    """Versions of other objects count too: all of a server's are in one order."""
    informer = informed(listed(10, A, B), watched(event("ADDED", config_map("c", 11))))
    assert [informer.behind(version) for version in ("5", "10", "11", "12", "no-number")] == [False, False, False, True, False]


def test_the_store_is_indexed() -> None:
    informer = informed(
        listed(10, config_map("a", 5, v="x"), config_map("b", 6, v="y")), watched(event("MODIFIED", config_map("b", 11, v="x")))
    )
    assert [key_of(raw) for raw in informer.store.by_index("v", "x")] == [Key("default", "a"), Key("default", "b")]


def test_many_who_stop_and_start_leave_nothing_running() -> None:
    async def racing() -> int:
        for number in range(50):
            informer = Informer(Client(Script(listed(10, A), watched()), field_manager="test"), MAPS, random=lambda: 0.5)
            running = asyncio.get_running_loop().create_task(informer.run())
            await asyncio.sleep(0.0 if number % 2 else 0.01)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return len(asyncio.all_tasks())

    assert run(racing()) == 1
