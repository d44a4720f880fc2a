"""What the reflector asks for after each kind of answer, word by word: the table of client-go's reflector tests, on virtual time."""

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from kube import paging
from kube.carrier import Answer
from kube.client import Client
from kube.errors import Forbidden, TimedOut, Unavailable
from kube.objects import Raw, key_of
from kube.reflector import Reflector, ReflectorSettings
from unit_tests.kube.fake_server import refusal
from unit_tests.kube.scripted import END, MAPS, Script, bookmark, config_map, event, listed, said, watched
from unit_tests.kube.virtual import run

GONE = refusal(410, "Expired")
TOO_LARGE = Answer(status=504, body=json.dumps(said(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])).encode())
A, B = config_map("a", 5), config_map("b", 7)


class Heard:
    """A sink that keeps what it is told, as short texts."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def replaced(self, items: list[Raw]) -> None:
        self.told.append("= " + " ".join(key_of(raw).name for raw in items))

    def changed(self, raw: Raw) -> None:
        self.told.append("+ " + key_of(raw).name)

    def removed(self, raw: Raw) -> None:
        self.told.append("- " + key_of(raw).name)


class Followed:
    """A reflector that ran on a script for so many seconds."""

    def __init__(self, *steps: Any, seconds: float = 3600.0, random: Callable[[], float] = lambda: 0.5, **options: Any) -> None:
        self.script, self.sink = Script(*steps), Heard()
        self.turns: list[str] = []
        run(self._follow(seconds, random, options))

    async def _follow(self, seconds: float, random: Callable[[], float], options: Any) -> None:
        client = Client(self.script, field_manager="test")
        self.reflector = Reflector(client, MAPS, sink=self.sink, random=random, turned=self._turned, **options)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.reflector.run()

    def _turned(self) -> None:
        self.turns.append(type(self.reflector.last_error).__name__)

    @property
    def asked(self) -> list[str]:
        return self.script.asked

    @property
    def pauses(self) -> list[float]:
        return [round(later - earlier, 3) for earlier, later in pairwise(self.script.times)]


def test_what_is_listed_is_watched_on_from_its_version() -> None:
    followed = Followed(listed(10, A, B), watched(event("ADDED", config_map("c", 11)), event("DELETED", config_map("a", 12))))
    assert followed.asked == ["list", "watch 10"]
    assert followed.sink.told == ["= a b", "+ c", "- a"]
    assert followed.reflector.resource_version == "12"
    assert followed.reflector.synced
    assert followed.reflector.healthy


def test_a_watch_that_the_server_ends_in_time_goes_on_at_once_from_the_last_version() -> None:
    followed = Followed(listed(10), watched(event("MODIFIED", config_map("a", 11)), then=300), watched(bookmark(20), then=300), watched())
    assert followed.asked == ["list", "watch 10", "watch 11", "watch 20"]
    assert followed.pauses == [0, 300, 300]


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    followed = Followed(listed(10, A), watched(bookmark(99)))
    assert followed.reflector.resource_version == "99"
    assert followed.sink.told == ["= a"]


@pytest.mark.parametrize(
    "gone",
    [GONE, watched(event("ERROR", said(410, "Expired"))), watched(event("ERROR", said(410, "Gone")))],
    ids=["status", "event", "gone"],
)
def test_an_expired_version_is_listed_anew_after_a_first_pause(gone: Any) -> None:
    followed = Followed(listed(10, A), gone, listed(30, B), watched())
    assert followed.asked == ["list", "watch 10", "list", "watch 30"]
    assert followed.sink.told == ["= a", "= b"]
    assert sum(followed.pauses) <= 2


def test_a_server_that_comes_back_without_its_history_is_listed_after_a_first_pause_however_long_it_was_away() -> None:
    away = [refusal(503, "ServiceUnavailable")] * 4
    followed = Followed(listed(10), *away, listed(10), GONE, listed(30), GONE, listed(40), watched())
    assert followed.asked[-6:] == ["list limit=1", "watch 10", "list", "watch 30", "list", "watch 40"]
    before, after, again = followed.pauses[4], followed.pauses[6], followed.pauses[8]
    assert (before, after) == (8.0, 1.0)
    assert again == 2.0, "soon after it is a failure like any other"


def test_a_history_that_is_lost_once_more_after_two_minutes_is_news_again() -> None:
    away = [refusal(503, "ServiceUnavailable")] * 3
    watching = watched(event("MODIFIED", config_map("a", 31)), then=130)
    followed = Followed(listed(10), *away[:2], listed(10), GONE, listed(30), watching, *away, listed(31), GONE, listed(50), watched())
    gone = [number for number, what in enumerate(followed.asked) if what == "list"][1:]
    assert [followed.pauses[number - 1] for number in gone] == [1.0, 1.0]


def test_versions_that_always_expire_are_listed_anew_slower_and_slower_up_to_the_limit() -> None:
    steps = [step for version in range(20) for step in (listed(version + 10), GONE)]
    pauses = Followed(*steps, random=lambda: 0.0).pauses[1::2]
    assert pauses[:5] == [0.8, 1.6, 3.2, 6.4, 12.8]
    assert max(pauses) <= 25


def test_a_second_page_that_has_expired_is_followed_by_one_list_of_everything() -> None:
    followed = Followed(listed(10, A, token="t"), GONE, listed(12, A, B), watched())
    assert followed.asked == ["list", "list continue=t", "list", "watch 12"]
    assert "limit" not in followed.script.params[2]
    assert followed.sink.told == ["= a b"]


def test_pages_are_one_list_at_the_version_of_the_first() -> None:
    followed = Followed(listed(10, A, token="t"), listed(10, B, token="u"), listed(10, config_map("c")), watched())
    assert followed.asked == ["list", "list continue=t", "list continue=u", "watch 10"]
    assert followed.sink.told == ["= a b c"]


def test_pages_that_do_not_come_in_time_are_asked_for_smaller() -> None:
    followed = Followed(TimedOut("slow"), TimedOut("slow"), listed(10, A), GONE, listed(11), watched())
    assert followed.asked == ["list", "list limit=250", "list limit=125", "watch 10", "list", "watch 11"]


@pytest.mark.parametrize(
    "where", [TOO_LARGE, watched(event("ERROR", said(504, "Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])))]
)
def test_a_version_that_the_server_has_not_reached_is_forgotten(where: Any) -> None:
    followed = Followed(listed(10, A), where, listed(7, B), watched())
    assert followed.asked == ["list", "watch 10", "list", "watch 7"]
    assert followed.reflector.resource_version == "7"


def test_after_a_time_without_any_answer_a_look_says_whether_the_server_is_as_old_as_it_was() -> None:
    """A watch that begins in its future would be silent for ever."""
    followed = Followed(listed(10, A), Unavailable("no"), Unavailable("no"), listed(10), watched(event("ADDED", config_map("c", 11))))
    assert followed.asked == ["list", "watch 10", "watch 10", "list limit=1", "watch 10"]
    assert followed.sink.told == ["= a", "+ c"]


def test_a_store_that_was_restored_while_nobody_was_there_is_listed_at_once() -> None:
    followed = Followed(listed(10, A), watched(then=Unavailable("cut")), refusal(503), listed(7), listed(7, B), watched())
    assert followed.asked == ["list", "watch 10", "watch 10", "list limit=1", "list", "watch 7"]
    assert followed.sink.told == ["= a", "= b"]
    assert followed.script.times[-1] <= 5


def test_one_list_from_before_what_was_seen_is_not_believed() -> None:
    """Nothing that it does not know is taken for gone."""
    followed = Followed(listed(10, A), GONE, listed(7), listed(12, A, B), watched())
    assert followed.asked == ["list", "watch 10", "list", "list", "watch 12"]
    assert followed.sink.told == ["= a", "= a b"]


def test_two_such_lists_in_a_row_are() -> None:
    followed = Followed(listed(10, A), GONE, listed(7), listed(7, B), watched())
    assert followed.sink.told == ["= a", "= b"]
    assert followed.asked[-1] == "watch 7"


@pytest.mark.parametrize("tokens", ["tt", "tut"])
def test_pages_that_lead_round_in_circles_are_a_failure_and_nothing_of_them_is_kept(tokens: str) -> None:
    pages = [listed(10, A, token=token) for token in tokens]
    followed = Followed(*pages, listed(11, B), watched())
    assert followed.asked[-2:] == ["list", "watch 11"]
    assert followed.sink.told == ["= b"]


def test_a_list_that_never_ends_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "MOST_PAGES", 3)
    followed = Followed(*[listed(10, A, token=str(number)) for number in range(4)], listed(11, B), watched())
    assert followed.sink.told == ["= b"]


def test_too_many_requests_are_five_watches_and_one_list() -> None:
    """Each waits at least what was asked for."""
    busy = refusal(429, "TooManyRequests", retry_after=7)
    followed = Followed(listed(10, A), busy, busy, busy, busy, watched())
    assert followed.asked == ["list", *["watch 10"] * 5]
    assert all(pause >= 7 for pause in followed.pauses[1:])


def test_too_many_requests_for_long_are_still_no_reason_to_list() -> None:
    followed = Followed(listed(10, A), *[refusal(429)] * 50, seconds=1800)
    assert followed.asked.count("list") == 1


def test_too_many_requests_within_a_stream_are_no_reason_to_list() -> None:
    followed = Followed(listed(10, A), watched(event("ERROR", said(429, retryAfterSeconds=9))), watched())
    assert followed.asked == ["list", "watch 10", "watch 10"]
    assert followed.pauses[1] >= 9


def test_a_server_that_asks_for_a_day_is_asked_again_after_five_minutes() -> None:
    assert Followed(listed(10), refusal(429, retry_after=86400), watched()).pauses[1] == 300


@pytest.mark.parametrize(
    "broken",
    [
        refusal(500, "InternalError"),
        refusal(503, retry_after=1),
        watched(event("ERROR", said(500, "InternalError"))),
        watched(then=Unavailable("cut")),
        watched(then=TimedOut("silent")),
        watched(b'{"type":"ADDED","obj'),
        watched(b"\x00\xff"),
        watched(event("SURPRISE", A)),
        watched(then=END),
    ],
    ids=["500", "503", "500 in stream", "cut", "silent", "half a line", "garbage", "unknown type", "ended at once"],
)
def test_a_broken_watch_goes_on_where_it_was(broken: Any) -> None:
    followed = Followed(listed(10, A), broken, watched(event("ADDED", config_map("c", 11))))
    assert followed.asked == ["list", "watch 10", "watch 10"]
    assert followed.sink.told == ["= a", "+ c"]
    assert followed.pauses[1] >= 0.8


def test_a_watch_broken_after_events_goes_on_behind_the_last_of_them() -> None:
    cut = watched(event("ADDED", config_map("c", 11)), event("ADDED", config_map("d", 12)), then=Unavailable("cut"))
    assert Followed(listed(10, A), cut, watched()).asked == ["list", "watch 10", "watch 12"]


def test_watches_that_all_fail_for_a_minute_are_followed_by_a_list() -> None:
    followed = Followed(listed(10, A), *[refusal(500)] * 9, listed(20, B), watched(), random=lambda: 0.0)
    lists = [time for time, asked in zip(followed.script.times, followed.asked, strict=True) if asked == "list"]
    assert len(lists) == 2
    assert 60 <= lists[1] <= 60 + 2 * 25


def test_an_event_in_between_is_progress_and_puts_the_list_off() -> None:
    steps = [watched(event("ADDED", config_map("c", 11 + number)), then=Unavailable("cut")) for number in range(30)]
    assert Followed(listed(10), *steps, settings=ReflectorSettings(longest_pause=1.5)).asked.count("list") == 1


def test_a_server_that_ends_every_watch_at_once_is_not_asked_in_a_hot_loop() -> None:
    followed = Followed(listed(10), *[watched(then=END)] * 100, seconds=50)
    assert len(followed.asked) <= 9


def test_pauses_begin_anew_after_two_healthy_minutes() -> None:
    steps = (*[refusal(500)] * 4, listed(10), watched(bookmark(11), then=121), refusal(500), watched())
    followed = Followed(listed(10), *steps, random=lambda: 0.0)
    assert followed.pauses[1:5] == [0.8, 1.6, 3.2, 6.4]
    assert followed.pauses[-1] == 0.8


def test_a_first_list_that_fails_is_tried_again() -> None:
    followed = Followed(Unavailable("no"), refusal(500), listed(10, A), watched())
    assert followed.asked == ["list", "list", "list", "watch 10"]
    assert followed.sink.told == ["= a"]


@pytest.mark.parametrize(
    "refused", [refusal(403, "Forbidden"), Answer(status=404, body=b"404 page not found")], ids=["forbidden", "no such kind"]
)
def test_what_is_refused_is_tried_again_within_half_a_minute_for_as_long_as_it_takes(refused: Answer) -> None:
    followed = Followed(*[refused] * 60, listed(10, A), watched())
    assert max(followed.pauses) <= 30
    assert followed.sink.told == ["= a"]
    assert followed.reflector.healthy


def test_rights_withdrawn_leave_what_is_known_and_say_why_nothing_new_comes() -> None:
    followed = Followed(listed(10, A), watched(bookmark(11), then=400), *[refusal(403, "Forbidden")] * 400, seconds=900)
    assert followed.sink.told == ["= a"]
    assert followed.reflector.synced
    assert not followed.reflector.healthy
    assert isinstance(followed.reflector.last_error, Forbidden)


REFUSED = refusal(403, "Forbidden")


@pytest.mark.parametrize(
    ("steps", "turns"),
    [
        ([Unavailable("away"), REFUSED], ["NoneType", "Unavailable", "NoneType"]),
        ([Unavailable("away"), REFUSED, REFUSED], ["NoneType", "Unavailable", "Forbidden", "NoneType"]),
        ([Unavailable("away"), REFUSED, Unavailable("away"), REFUSED], ["NoneType", "Unavailable", "NoneType"]),
        ([REFUSED], ["NoneType", "Forbidden", "NoneType"]),
    ],
    ids=["once", "twice", "once and once", "by one that was there"],
)
def test_an_api_server_that_has_just_come_back_is_not_believed_when_it_refuses_once(steps: list[Any], turns: list[str]) -> None:
    """It serves before it has read its RBAC objects; for whom a refusal means that a namespace has closed, credentials would be gone."""
    back = (watched(),) if steps == [REFUSED] else (listed(20, A), watched())
    followed = Followed(listed(10, A), watched(bookmark(11), then=40), *steps, *back)
    assert followed.turns == turns[1:]
    assert followed.reflector.healthy


def test_an_event_told_twice_is_passed_on_once() -> None:
    twice = event("ADDED", config_map("c", 11))
    followed = Followed(listed(10, A), watched(twice, twice))
    assert followed.sink.told == ["= a", "+ c"]
    assert followed.reflector.statistics().repeated == 1


def test_an_event_older_than_the_one_before_is_not_believed_and_the_world_is_listed() -> None:
    followed = Followed(
        listed(10, A), watched(event("ADDED", config_map("c", 12)), event("DELETED", config_map("a", 11))), listed(12, A), watched()
    )
    assert followed.sink.told == ["= a", "+ c", "= a"]
    assert followed.asked == ["list", "watch 10", "list", "watch 12"]


def test_versions_without_an_order_are_taken_as_they_come() -> None:
    followed = Followed(listed("x", A), watched(event("ADDED", config_map("c", "b")), event("ADDED", config_map("d", "a"))))
    assert followed.sink.told == ["= a", "+ c", "+ d"]


@pytest.mark.parametrize(
    "poison",
    [
        None,
        [],
        "text",
        {},
        {"metadata": None},
        {"metadata": []},
        {"metadata": {"name": None, "namespace": "default"}},
        {"metadata": {"name": 7, "namespace": "default"}},
        {"metadata": {"name": "a", "namespace": {}}},
    ],
)
def test_an_object_without_a_name_stops_nothing(poison: Any) -> None:
    followed = Followed(
        listed(10, A, poison, B), watched(event("ADDED", poison), event("DELETED", poison), event("ADDED", config_map("c", 11)))
    )
    assert followed.asked == ["list", "watch 10"]
    assert followed.sink.told == ["= a b", "+ c"]


@pytest.mark.parametrize("version", [None, 7, {}, ""])
def test_an_object_without_a_version_is_passed_on_and_moves_nothing(version: Any) -> None:
    broken = config_map("c")
    broken["metadata"]["resourceVersion"] = version
    followed = Followed(listed(10), watched(event("ADDED", broken)))
    assert followed.sink.told == ["= ", "+ c"]
    assert followed.reflector.resource_version == "10"


def test_a_deletion_of_something_unknown_is_passed_on() -> None:
    assert Followed(listed(10), watched(event("DELETED", config_map("z", 11)))).sink.told == ["= ", "- z"]


def test_what_a_transformation_fails_on_is_left_out_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def hide(raw: Raw) -> Raw:
        if raw["data"].get("secret"):
            raise ValueError(raw["data"]["secret"])
        return raw

    bad = config_map("bad", 11, secret="hunter2")
    followed = Followed(listed(10, A, bad), watched(event("ADDED", bad), event("ADDED", config_map("c", 12))), transform=hide)
    assert followed.sink.told == ["= a", "+ c"]
    assert "hunter2" not in caplog.text
    assert "default/bad" in caplog.text


def test_a_sink_that_fails_is_filled_again(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Heard):
        def changed(self, raw: Raw) -> None:
            super().changed(raw)
            raise KeyError("hunter2")

    async def follow() -> tuple[Script, Heard]:
        script, sink = Script(listed(10, A), watched(event("ADDED", config_map("c", 11))), listed(12, B), watched()), Failing()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await Reflector(Client(script, field_manager="test"), MAPS, sink=sink, random=lambda: 0.5).run()
        return script, sink

    script, sink = run(follow())
    assert script.asked == ["list", "watch 10", "list", "watch 12"]
    assert sink.told == ["= a", "+ c", "= b"]
    assert "hunter2" not in caplog.text


def test_managed_fields_are_left_out() -> None:
    kept: list[Raw] = []

    class Keeping(Heard):
        def replaced(self, items: list[Raw]) -> None:
            kept.extend(items)

        def changed(self, raw: Raw) -> None:
            kept.append(raw)

    async def follow() -> None:
        full = config_map("a")
        full["metadata"]["managedFields"] = [{"manager": "x"}]
        new = json.loads(json.dumps(full).replace('"1"', '"11"'))
        script = Script(listed(10, full), watched(event("ADDED", new)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await Reflector(Client(script, field_manager="test"), MAPS, sink=Keeping(), random=lambda: 0.5).run()

    run(follow())
    assert len(kept) == 2
    assert all("managedFields" not in raw["metadata"] for raw in kept)


@pytest.mark.parametrize(("drawn", "seconds"), [(0.0, 300), (0.5, 450), (0.999, 599)])
def test_a_watch_is_to_last_between_five_and_ten_minutes(drawn: float, seconds: int) -> None:
    params = Followed(listed(10), watched(), random=lambda: drawn).script.params[1]
    assert params["timeoutSeconds"] == str(seconds)
    assert params["allowWatchBookmarks"] == "true"


def test_what_is_asked_for_is_narrowed_in_lists_and_watches_alike() -> None:
    script = Followed(listed(10), watched(), label_selector="a=b", field_selector="metadata.name=x", namespace="default").script
    assert all((params["labelSelector"], params["fieldSelector"]) == ("a=b", "metadata.name=x") for params in script.params)


def test_settings_are_heeded() -> None:
    settings = ReflectorSettings(page=3, first_pause=2, watch_least=10, watch_most=20)
    followed = Followed(Unavailable("no"), listed(10), watched(), settings=settings, random=lambda: 0.0)
    assert followed.asked == ["list limit=3", "list limit=3", "watch 10"]
    assert followed.pauses[0] == 2
    assert followed.script.params[2]["timeoutSeconds"] == "10"
