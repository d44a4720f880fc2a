"""Events as a reader of the API finds them: what is said once, what is counted, and what is given up."""

import asyncio
import logging
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kube.errors import AlreadyExists, Forbidden, Invalid, NotFound, Throttled, TimedOut, Unavailable
from kube.event_body import LONGEST_NOTE, Reporter, cut, name_of, saying
from kube.events import TRIES, Recorder
from unit_tests.kube.virtual import run

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WEB = {
    "apiVersion": "agents.kruise.io/v1alpha1",
    "kind": "SecurityProfile",
    "metadata": {"namespace": "team-a", "name": "web", "uid": "u-1"},
}


class Server:
    """Keeps Events as the API server would; `script` is what it answers before it takes anything."""

    def __init__(self, *script, takes=0.0, commits_first=False):
        self.script, self.takes, self.commits_first = list(script), takes, commits_first
        self.events, self.calls = {}, []

    async def answer(self, what, commit):
        self.calls.append((what, asyncio.get_running_loop().time()))
        await asyncio.sleep(self.takes)
        failure = self.script.pop(0) if self.script else None
        if failure is None or self.commits_first:
            commit()
        if failure is not None:
            raise failure

    async def create(self, resource, body, *, namespace=""):
        name = body["metadata"]["name"]
        assert str(resource) == "events.events.k8s.io"
        assert namespace == body["metadata"]["namespace"]
        if name in self.events and not self.script:
            self.calls.append(("create", asyncio.get_running_loop().time()))
            raise AlreadyExists("there")
        await self.answer("create", lambda: self.events.update({name: body}))

    async def merge_patch(self, resource, key, body):
        if key.name not in self.events:
            self.calls.append(("patch", asyncio.get_running_loop().time()))
            raise NotFound("gone")
        await self.answer("patch", lambda: self.events[key.name].update(body))

    @property
    def notes(self):
        return [event["note"] for event in self.events.values()]

    @property
    def moments(self):
        return [(what, round(moment, 2)) for what, moment in self.calls]


def recorder(server, **more):
    def now():
        return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())

    return Recorder(server, component="groyne.dev/controller", instance="pod-1", now=now, random=lambda: 0.0, **more)


def say(to, note="broken", *, about=WEB, reason="Invalid"):
    to.record(about, type="Warning", reason=reason, action="Compile", note=note)


async def playing(server, *moments, within=10_000.0, each=say, **more):
    """What is said at these moments, and `within` seconds for it to be sent; then the recorder is told to stop."""
    told = recorder(server, **more)
    task = asyncio.ensure_future(told.run())
    loop = asyncio.get_running_loop()
    for moment in moments:
        loop.call_at(moment, each, told)
    await asyncio.sleep(within)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return told


class TestWhatIsSaid:
    def test_an_event_names_the_object_the_reporter_and_the_moment(self):
        server = Server()
        run(playing(server, 1))
        (event,) = server.events.values()
        assert event["regarding"] == {
            "apiVersion": "agents.kruise.io/v1alpha1",
            "kind": "SecurityProfile",
            "name": "web",
            "namespace": "team-a",
            "uid": "u-1",
        }
        assert (event["reportingController"], event["reportingInstance"]) == ("groyne.dev/controller", "pod-1")
        assert (event["type"], event["reason"], event["action"], event["note"]) == ("Warning", "Invalid", "Compile", "broken")
        assert event["eventTime"] == "2026-01-01T00:00:01.000000Z"
        assert event["metadata"]["namespace"] == "team-a"
        assert "series" not in event

    def test_what_lies_in_no_namespace_has_its_events_in_default(self):
        server = Server()
        about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "uid": "u-2"}}
        run(playing(server, 1, each=lambda to: say(to, about=about)))
        (event,) = server.events.values()
        assert event["metadata"]["namespace"] == "default"
        assert "namespace" not in event["regarding"]

    def test_other_objects_reasons_and_notes_are_other_events(self):
        server = Server()
        again = WEB | {"metadata": WEB["metadata"] | {"uid": "u-9"}}

        def each(to):
            say(to)
            say(to, "other")
            say(to, reason="Other")
            say(to, about=again)

        run(playing(server, 1, each=each))
        assert len(server.events) == 4

    @pytest.mark.parametrize("about", [{}, {"metadata": None}, {"kind": 3, "metadata": {"name": ["x"], "uid": {}}}])
    def test_a_poisoned_object_raises_nothing(self, about):
        server = Server()
        run(playing(server, 1, each=lambda to: say(to, about=about)))
        assert len(server.events) == 1

    def test_whatever_goes_wrong_with_one_is_told_without_its_words_and_the_next_is_sent(self, caplog):
        server = Server(ValueError("hunter2"))

        def each(to):
            say(to, None)
            say(to, "first")
            say(to, "second")

        told = run(playing(server, 1, each=each))
        assert (server.notes, told.dropped) == (["second"], 2)
        assert "hunter2" not in caplog.text

    def test_what_is_no_text_in_utf_8_is_replaced(self):
        assert cut("\ud800x", 10) == "?x"

    @settings(deadline=None)
    @given(st.text(max_size=300) | st.text(max_size=300).map(lambda text: text * 9))
    @example("ä" * 600)
    def test_a_note_is_cut_between_characters_and_says_so(self, note):
        found = cut(note, LONGEST_NOTE)
        assert len(found.encode()) <= LONGEST_NOTE
        whole = note.encode(errors="replace").decode()
        assert found == whole or (found.endswith("…") and whole.startswith(found[:-1]))
        assert len(found.encode()) > LONGEST_NOTE - 7 or found == whole

    @settings(deadline=None)
    @example("a" * 253)
    @given(st.text(max_size=300) | st.from_regex(r"[a-zA-Z0-9.:_-]{1,260}", fullmatch=True))
    def test_the_name_is_one_whatever_the_object_is_called(self, name):
        what = saying({"metadata": {"name": name}}, kind="Normal", reason="R", action="A", note="n")
        found = name_of(what, Reporter(component="c", instance="i"), BEGIN)
        assert len(found) <= 253
        assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", part) for part in found.split("."))

    def test_names_differ_by_note_by_moment_and_by_process(self):
        def name(note="n", instance="i", at=BEGIN):
            return name_of(saying(WEB, kind="Normal", reason="R", action="A", note=note), Reporter(component="c", instance=instance), at)

        assert len({name(), name(note="m"), name(instance="j"), name(at=BEGIN + timedelta(microseconds=1))}) == 4


class TestRepetitions:
    def test_the_first_repetition_is_told_six_seconds_after_the_event_with_all_that_came_meanwhile(self):
        server = Server()
        run(playing(server, 1, 2, 3, 4))
        assert server.moments == [("create", 1), ("patch", 7)]
        (event,) = server.events.values()
        assert event["series"] == {"count": 4, "lastObservedTime": "2026-01-01T00:00:04.000000Z"}

    def test_a_repetition_after_that_is_told_at_once(self):
        server = Server()
        run(playing(server, 1, 100))
        assert server.moments == [("create", 1), ("patch", 100)]

    def test_what_is_repeated_all_the_time_is_told_less_and_less_often(self):
        server = Server()
        run(playing(server, *range(2000), within=3000))
        patches = [moment for what, moment in server.moments if what == "patch"]
        rests = [later - earlier for earlier, later in pairwise(patches)]
        assert patches[0] == 6
        assert rests[:4] == pytest.approx([12, 24, 48, 96], abs=1)
        assert max(rests) == pytest.approx(384, abs=1)
        (event,) = server.events.values()
        assert event["series"]["count"] == 2000

    def test_what_came_before_the_event_was_taken_is_counted_too(self):
        server = Server(takes=3)
        run(playing(server, 1, 2))
        (event,) = server.events.values()
        assert event["series"]["count"] == 2
        assert server.moments == [("create", 1), ("patch", 10)]

    def test_after_an_hour_without_repetition_it_is_said_anew(self):
        server = Server()
        run(playing(server, 1, 3700))
        assert server.moments == [("create", 1), ("create", 3700)]

    def test_repeated_within_the_hour_it_is_still_the_same(self):
        server = Server()
        run(playing(server, 1, 3000, 6000, 9000))
        assert len(server.events) == 1

    def test_each_is_forgotten_by_its_own_last_moment(self):
        server = Server()
        saying = iter(["first", "second", "first", "second"])
        run(playing(server, 0, 10, 3000, 3650, each=lambda to: say(to, next(saying))))
        assert sorted(server.notes) == ["first", "second", "second"]

    def test_a_series_whose_event_is_gone_is_begun_anew_with_its_count(self):
        server = Server()

        async def story():
            asyncio.get_running_loop().call_at(50, server.events.clear)
            await playing(server, 1, 100)

        run(story())
        (event,) = server.events.values()
        assert event["series"]["count"] == 2
        assert [what for what, _ in server.calls] == ["create", "patch", "create"]


class TestTrouble:
    def test_nothing_waits_for_a_server_that_never_answers_and_what_is_too_much_is_counted(self):
        server = Server(takes=1e9)

        def flood(to):
            for number in range(150):
                say(to, str(number))

        def each(to):
            flood(to)
            return to.dropped

        async def story():
            began, at_once = asyncio.get_running_loop().time(), []
            told = await playing(server, 1, each=lambda to: at_once.append(each(to)), within=100, most=100)
            assert (at_once, told.dropped) == ([50], 150)
            return asyncio.get_running_loop().time() - began

        assert run(story()) == pytest.approx(102, abs=0.1)

    def test_repetitions_take_no_room(self):
        server = Server()

        def flood(to):
            for number in range(10_000):
                say(to, str(number % 10))

        told = run(playing(server, 1, each=flood, most=10))
        assert (told.dropped, len(server.events)) == (0, 10)

    def test_room_is_free_again_once_events_are_sent(self):
        server = Server()
        numbers = iter(range(100))
        told = run(playing(server, *range(20), each=lambda to: [say(to, str(next(numbers))) for _ in range(5)], most=5))
        assert (told.dropped, len(server.events)) == (0, 100)

    def test_memory_holds_the_latest_of_many(self):
        server = Server()

        def flood(to):
            for number in range(100):
                say(to, str(number))

        told = run(playing(server, 1, each=flood, kept=10))
        assert len(told._said) == 10
        assert told.dropped == 100 - len(server.events)

    def test_what_was_forgotten_unsent_or_refused_takes_no_room(self):
        server = Server(*[Forbidden("no")] * 30, takes=0.1)
        numbers = iter(range(1000))

        def each(to):
            for _ in range(20):
                say(to, str(next(numbers)))

        run(playing(server, 1, 11, 21, 31, 41, each=each, most=25, kept=10))
        assert len(server.events) == 5 * 10 - 30

    def test_a_pause_after_long_peace_is_short_again(self):
        server = Server(*[Unavailable("away")] * 4, None, Unavailable("away"))
        notes = iter("ab")
        run(playing(server, 1, 1000, each=lambda to: say(to, next(notes))))
        assert [moment for _, moment in server.moments][-2:] == [1000, 1001]

    @pytest.mark.parametrize("failure", [Unavailable("away"), TimedOut("slow"), Throttled("later", retry_after=20)])
    def test_while_the_server_is_away_it_is_tried_again_with_growing_pauses(self, failure):
        server = Server(failure, failure, failure)
        told = run(playing(server, 1))
        pauses = [20, 20, 20] if isinstance(failure, Throttled) else [1, 2, 4]
        assert [moment for _, moment in server.moments] == pytest.approx([1, 1 + pauses[0], 1 + sum(pauses[:2]), 1 + sum(pauses)], abs=0.1)
        assert (server.notes, told.dropped) == (["broken"], 0)

    def test_what_cannot_be_sent_for_long_is_given_up(self):
        server = Server(*[Unavailable("away")] * TRIES)

        def each(to):
            say(to, "first")
            say(to, "second")

        told = run(playing(server, 1, each=each))
        assert (server.notes, told.dropped) == (["second"], 1)

    def test_the_server_away_hears_at_most_one_call_in_thirty_seconds(self):
        server = Server(*[Unavailable("away")] * 1000)
        run(playing(server, 1, each=lambda to: [say(to, str(number)) for number in range(500)], within=1000))
        assert len(server.calls) < 60

    def test_an_answer_that_was_lost_makes_no_second_event(self):
        server = Server(TimedOut("slow"), commits_first=True)
        told = run(playing(server, 1))
        assert (server.notes, told.dropped) == (["broken"], 0)
        assert [what for what, _ in server.calls] == ["create", "create"]

    def test_refusals_are_told_once_for_a_namespace_and_dropped(self, caplog):
        caplog.set_level(logging.INFO)
        terminating = Forbidden("create events: 403", reason="NamespaceTerminating")
        server = Server(terminating, terminating, terminating)
        told = run(playing(server, 1, 2, 3))
        assert (server.events, told.dropped) == ({}, 3)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert [moment for _, moment in server.moments] == [1, 2, 3]

    @pytest.mark.parametrize("failure", [Forbidden("no"), NotFound("namespace"), Invalid("bad")])
    def test_one_that_is_refused_does_not_hold_up_the_next(self, failure):
        server = Server(failure)

        def each(to):
            say(to, "first")
            say(to, "second")

        told = run(playing(server, 1, each=each, within=2))
        assert (server.notes, told.dropped) == (["second"], 1)


class TestStopping:
    def test_what_is_there_is_still_sent_and_what_was_repeated_still_counted(self):
        server = Server(takes=0.1)

        def each(to):
            for number in range(5):
                say(to, str(number))
                say(to, str(number))

        told = run(playing(server, 1, each=each, within=1.25))
        assert len(server.events) == 5
        assert told.dropped == 0
        assert [event.get("series", {}).get("count") for event in server.events.values()][:2] == [2, 2]

    def test_one_that_was_being_sent_is_sent_whole(self):
        server = Server(takes=0.5)
        run(playing(server, 1, within=1.2))
        assert server.notes == ["broken"]

    def test_what_is_new_goes_before_what_is_repeated(self):
        server = Server()

        def each(to):
            if not server.events:
                say(to, "old")
                say(to, "older")
                return
            server.takes = 0.7
            for note in ("old", "older", "new", "newer"):
                say(to, note)

        run(playing(server, 1, 3, each=each, within=3.1))
        assert {"new", "newer"} <= set(server.notes)

    def test_one_that_is_refused_on_the_way_out_does_not_hold_up_the_next(self):
        server = Server(takes=0.5)
        server.script = [None, Forbidden("no")]
        told = run(playing(server, 1, each=lambda to: [say(to, str(number)) for number in range(4)], within=1.6))
        assert (sorted(server.notes), told.dropped) == (["0", "2", "3"], 1)

    def test_after_two_seconds_it_ends_anyway(self):
        server = Server(takes=0.7)

        async def story():
            told = await playing(server, 1, each=lambda to: [say(to, str(number)) for number in range(50)], within=1.1)
            return asyncio.get_running_loop().time(), told.dropped

        moment, dropped = run(story())
        assert moment == pytest.approx(3.1, abs=0.01)
        assert dropped == 50 - len(server.events)
        assert len(server.events) >= 2
