"""The law of the reflector: whatever happens to the server and between us, once faults end the store says what the server says.

Changes and faults are drawn by hypothesis and played against the server in memory on virtual time. Folding what a handler was told
gives the same, and there were not many more lists than reasons for one.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kube.client import Client
from kube.errors import TimedOut, Unavailable
from kube.informer import Informer
from kube.objects import Key, Raw, key_of, resource_version, uid_of
from kube.reflector import ReflectorSettings
from unit_tests.kube.fake_server import FakeServer, Fault, Sent, refusal
from unit_tests.kube.scripted import MAPS, config_map, event
from unit_tests.kube.virtual import run

NAMES = st.sampled_from(["a", "b", "c"])
PAUSES = st.sampled_from([0.0, 0.1, 2.0, 2.0, 20.0, 130.0])
# After the last fault: the longest pause, one silent watch that was already open, one more pause and list.
SETTLED = 30 + 120 + 30


class Play:
    """One server, one informer, and what its handler made of what it was told."""

    def __init__(self, seed: int) -> None:
        self.faults: list[Callable[[Sent], Fault]] = []
        self.server = FakeServer([MAPS], before=self._fault)
        self.informer = Informer(
            Client(self.server, field_manager="test"), MAPS, settings=ReflectorSettings(page=2), random=random.Random(seed).random
        )
        self.view: dict[Key, Raw] = {}
        self.informer.add_handler(self._fold)
        self.reasons = 1

    def _fault(self, sent: Sent) -> Fault:
        return self.faults.pop(0)(sent) if self.faults else None

    def _fold(self, old: Raw | None, new: Raw | None) -> None:
        key = key_of(old or new or {})
        assert self.view.get(key) == old, "what is told goes on from what was told"
        assert old is None or new is None or uid_of(old) == uid_of(new)
        self.view.pop(key, None)
        if new is not None:
            self.view[key] = new

    def put(self, name: str, value: str) -> None:
        key, storage = Key("default", name), self.server.storage
        there = storage.get(MAPS, key)
        if there is None:
            made = config_map(name)
            storage.create(MAPS, {**made, "data": {"v": value}})
        else:
            storage.update(MAPS, key, {**there, "data": {"v": value}})

    def drop(self, name: str) -> None:
        if self.server.storage.get(MAPS, Key("default", name)):
            self.server.storage.delete(MAPS, Key("default", name))

    def anew(self, name: str) -> None:
        self.drop(name)
        self.put(name, "anew")

    def compacted(self) -> None:
        self.reasons += 1
        self.server.storage.compact()
        self.streams("cut")

    def streams(self, does: str, *said: Any) -> None:
        for stream in list(self.server.streams):
            getattr(stream, does)(*said)

    def stale(self, back: int) -> None:
        """Something that happened before is told again."""
        self.reasons += 1
        for change in self.server.storage.changes[-back:][:1]:
            self.streams("heard", change)


CHANGES = st.one_of(
    st.tuples(st.just(Play.put), NAMES, st.sampled_from("xyz")),
    st.tuples(st.just(Play.drop), NAMES),
    st.tuples(st.just(Play.anew), NAMES),
)
LINES = st.sampled_from(
    [b"{", b"\xff\x00", b"[]", b"{}", b'{"type":"ADDED"}', b'{"type":"MODIFIED","object":{"metadata":{"name":7}}}', b"null"]
)
BREAKS = st.one_of(
    st.tuples(st.just(Play.streams), st.sampled_from(["cut", "end", "mute"])),
    st.tuples(st.just(Play.streams), st.just("say"), LINES),
    st.tuples(st.just(Play.streams), st.just("say"), st.just(event("ERROR", {"code": 410, "reason": "Expired"}))),
    st.tuples(st.just(Play.streams), st.just("say"), st.just(event("ERROR", {"code": 500}))),
    st.tuples(st.just(Play.compacted)),
    st.tuples(st.just(Play.stale), st.integers(1, 4)),
    st.tuples(st.just(Play.stale), st.just(2)),
)
ANSWERS = st.sampled_from(
    [
        lambda sent: refusal(500),
        lambda sent: refusal(503, retry_after=3),
        lambda sent: refusal(429, retry_after=5),
        lambda sent: refusal(403, "Forbidden"),
        lambda sent: refusal(410, "Expired"),
        lambda sent: refusal(410, "Expired") if "continue" in sent.params else None,
        lambda sent: Unavailable("no connection"),
        lambda sent: TimedOut("no answer"),
        lambda sent: 8.0,
        lambda sent: 60.0,
        lambda sent: None,
    ]
)
FAULTS = st.tuples(st.just(lambda play, fault: play.faults.append(fault)), ANSWERS)
STEPS = st.lists(st.tuples(st.one_of(CHANGES, CHANGES, CHANGES, BREAKS, FAULTS), PAUSES), min_size=4, max_size=25)


@settings(max_examples=400, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**16))
def test_once_faults_end_the_store_is_what_the_server_has(steps: list[Any], seed: int) -> None:
    play = run(played(steps, seed))
    there = {key: (uid_of(raw), resource_version(raw)) for key, raw in play.server.storage.objects(MAPS).items()}
    assert {key_of(raw): (uid_of(raw), resource_version(raw)) for raw in play.informer.store.list()} == there
    assert play.view == {key_of(raw): raw for raw in play.informer.store.list()}
    assert play.informer.healthy
    lists = sum(sent.verb == "list" for sent in play.server.sent)
    assert lists <= 2 * (len(steps) + play.reasons)


async def played(steps: list[Any], seed: int) -> Play:
    play = Play(seed)
    play.put("a", "first")
    running = asyncio.get_running_loop().create_task(play.informer.run())
    for (does, *arguments), pause in steps:
        does(play, *arguments)
        await asyncio.sleep(pause)
    play.faults.clear()
    await asyncio.sleep(SETTLED)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return play


def test_a_quiet_hour_is_six_to_twelve_watches_and_one_list() -> None:
    async def hour() -> list[str]:
        play = Play(1)
        running = asyncio.get_running_loop().create_task(play.informer.run())
        await asyncio.sleep(3600)
        running.cancel()
        return [sent.verb for sent in play.server.sent]

    verbs = run(hour())
    assert verbs.count("list") == 1
    assert 6 <= verbs.count("watch") <= 12


def test_a_half_open_watch_is_noticed_within_two_minutes_and_costs_no_list() -> None:
    async def silent() -> tuple[float, list[str]]:
        play = Play(1)
        running = asyncio.get_running_loop().create_task(play.informer.run())
        await asyncio.sleep(1)
        play.streams("mute")
        play.put("b", "unheard")
        began, heard = asyncio.get_running_loop().time(), asyncio.Event()
        play.informer.add_handler(lambda old, new: heard.set())
        await heard.wait()
        running.cancel()
        return asyncio.get_running_loop().time() - began, [sent.verb for sent in play.server.sent]

    seconds, verbs = run(silent())
    assert seconds <= 122
    assert verbs.count("list") == 1
