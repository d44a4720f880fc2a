"""A question is asked once for as long as its answer is good, and an answer is nobody else's. All on virtual time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest

from extproc.providers.cache import CachedProvider, digest
from extproc.providers.memory import Kept, Memory
from extproc.providers.seam import ALIYUN_STS, Failure, ProviderAnswer, ProviderError, ProviderRequest
from unit_tests.extproc.providers.asks import ASK, KEY, TOKEN, Counted, ask
from unit_tests.extproc.providers.scripted import Says, Scripted
from unit_tests.kube.virtual import run

HOUR = 3600.0
Talk = Callable[[CachedProvider, Scripted, Counted], Awaitable[Any]]


def talk(said: Talk, *, says: Any = None, **options: Any) -> Any:
    async def talking() -> Any:
        scripted, observer = Scripted(*([says] if says else [])), Counted()
        async with CachedProvider(scripted, observer=observer, **options) as cache:
            return await said(cache, scripted, observer)

    return run(talking())


async def failure(cache: CachedProvider, question: ProviderRequest = ASK, deadline: float = 5) -> Failure:
    with pytest.raises(ProviderError) as caught:
        await cache.fetch(question, deadline=deadline)
    return caught.value.reason


async def key(cache: CachedProvider, question: ProviderRequest = ASK, deadline: float = 5) -> str:
    return (await cache.fetch(question, deadline=deadline)).values["apiKey"]


def test_a_question_asked_again_is_answered_from_memory() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await cache.fetch(ASK, deadline=5) is await cache.fetch(ask(), deadline=5)
        assert len(scripted.calls) == 1
        assert observer.lookups == {"miss": 1, "hit": 1}

    talk(said)


@pytest.mark.parametrize(
    "other",
    [
        {"provider": "other"},
        {"resource_id": "other"},
        {"access_token": "other"},
        {"caller": "team/other"},
        {"parameters": {"scope": 1}},
        {"keys": ALIYUN_STS},
    ],
)
def test_an_answer_is_for_this_question_and_this_caller_alone(other: dict[str, Any]) -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await key(cache) != await key(cache, ask(**other))
        assert len(scripted.calls) == 2

    talk(said)


def test_parameters_are_the_same_in_any_order_and_values_of_another_type_are_not() -> None:
    assert digest(ask(parameters={"a": 1, "b": 2})) == digest(ask(parameters={"b": 2, "a": 1}))
    kinds: Iterable[Any] = (1, 1.0, "1", True, None, [1])
    assert len({digest(ask(parameters={"a": each})) for each in kinds}) == 6


def test_what_runs_over_from_one_part_of_a_question_into_the_next_is_another_question() -> None:
    assert digest(ask(provider="a", resource_id="bc")) != digest(ask(provider="ab", resource_id="c"))
    assert digest(ask(provider='a","b')) != digest(ask(provider="a", resource_id="b"))


def test_a_parameter_that_json_cannot_say_is_not_asked() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await failure(cache, ask(parameters={"p": object()})) is Failure.QUESTION
        assert scripted.calls == []

    talk(said)


@pytest.mark.parametrize("nobody", [{"resource_id": ""}, {"caller": ""}])
def test_without_a_client_id_or_a_caller_nothing_is_kept(nobody: dict[str, str]) -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await key(cache, ask(**nobody)) != await key(cache, ask(**nobody))
        assert cache.entries == 0

    talk(said)


def test_an_answer_of_which_nothing_was_said_holds_for_three_hours() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        first = await key(cache)
        await asyncio.sleep(2.69 * HOUR)
        assert await key(cache) == first
        assert len(scripted.calls) == 1

    talk(said)


def test_after_three_hours_it_is_gone() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        first = await key(cache)
        await asyncio.sleep(3 * HOUR)
        assert await key(cache) != first

    talk(said)


@pytest.mark.parametrize(("life", "good", "gone"), [(3600.0, 3569.0, 3570.0), (100.0, 79.0, 80.0), (10.0, 7.9, 8.0)])
def test_an_answer_is_gone_a_little_before_the_provider_says(life: float, good: float, gone: float) -> None:
    """30 s before, but never more than a fifth of its life."""

    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        first = await key(cache)
        await asyncio.sleep(good)
        assert await key(cache) == first
        await asyncio.sleep(gone - good)
        assert await key(cache) != first

    talk(said, says=lambda question, nth: Says(life=life))


def test_a_life_beyond_three_hours_is_cut_to_them() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        first = await key(cache)
        await asyncio.sleep(3 * HOUR)
        assert await key(cache) != first

    talk(said, says=lambda question, nth: Says(life=99 * HOUR))


def test_a_hundred_who_ask_the_same_make_one_call() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        answers = await asyncio.gather(*(cache.fetch(ASK, deadline=5) for _ in range(100)))
        assert len({id(answer) for answer in answers}) == 1
        assert len(scripted.calls) == 1
        assert observer.lookups == {"miss": 1, "shared": 99}

    talk(said, says=lambda question, nth: Says(delay=1))


def test_a_failure_is_everybodys_who_waited_and_each_has_an_error_of_its_own() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        errors = await asyncio.gather(*(cache.fetch(ASK, deadline=5) for _ in range(5)), return_exceptions=True)
        assert [error.reason for error in errors if isinstance(error, ProviderError)] == [Failure.STATUS] * 5
        assert len({id(error) for error in errors}) == 5
        assert len(scripted.calls) == 1

    talk(said, says=lambda question, nth: Says(delay=1, failure=Failure.STATUS))


def test_who_leaves_does_not_take_the_question_along() -> None:
    """Not even the one who asked first."""

    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(cache.fetch(ASK, deadline=5))
            second = group.create_task(cache.fetch(ASK, deadline=5))
            await asyncio.sleep(0.5)
            first.cancel()
        assert first.cancelled()
        assert second.result() is scripted.answered[0]

    talk(said, says=lambda question, nth: Says(delay=1))


def test_the_answer_is_kept_although_everybody_left() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await failure(cache, deadline=0.5) is Failure.TIMEOUT
        await asyncio.sleep(1)
        assert await key(cache)
        assert len(scripted.calls) == 1

    talk(said, says=lambda question, nth: Says(delay=1))


def test_each_waits_for_as_long_as_its_own_deadline_allows() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        loop = asyncio.get_running_loop()

        async def ends(deadline: float) -> tuple[float, object]:
            try:
                result: object = await cache.fetch(ASK, deadline=deadline)
            except ProviderError as error:
                result = error.reason
            return round(loop.time(), 3), result

        ended = await asyncio.gather(*(ends(deadline) for deadline in (0.25, 0.5, 5)))
        assert ended == [(0.25, Failure.TIMEOUT), (0.5, Failure.TIMEOUT), (1.0, scripted.answered[0])]

    talk(said, says=lambda question, nth: Says(delay=1))


def test_a_failure_holds_for_a_second() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await failure(cache) is Failure.UNREACHABLE
        for _ in range(9):
            await asyncio.sleep(0.1)
            assert await failure(cache) is Failure.UNREACHABLE
        assert (len(scripted.calls), observer.lookups) == (1, {"miss": 1, "held": 9})
        await asyncio.sleep(0.11)
        assert await key(cache)

    talk(said, says=lambda question, nth: Says(failure=Failure.UNREACHABLE if nth == 1 else None))


def test_a_failure_of_one_caller_does_not_hold_for_another() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await failure(cache, ask(access_token="bad")) is Failure.STATUS
        assert await key(cache)

    talk(said, says=lambda question, nth: Says(failure=Failure.STATUS if question.access_token == "bad" else None))


def test_in_the_last_tenth_of_its_life_an_answer_is_fetched_anew_and_nobody_waits() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        loop = asyncio.get_running_loop()
        first = await key(cache)
        await asyncio.sleep(95)
        asked_at = loop.time()
        assert [await key(cache) for _ in range(10)] == [first] * 10
        assert loop.time() == asked_at
        await asyncio.sleep(1)
        assert len(scripted.calls) == 2
        assert await key(cache) != first

    talk(said, says=lambda question, nth: Says(delay=0.5), ttl=100.0)


def test_where_that_fails_the_answer_serves_to_its_end_and_no_longer() -> None:
    """It is asked for once a second meanwhile, if it is used."""

    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        first = await key(cache)
        await asyncio.sleep(95)
        for _ in range(49):
            assert await key(cache) == first
            await asyncio.sleep(0.1)
        assert 5 <= len(scripted.calls) <= 6
        await asyncio.sleep(0.11)
        assert await failure(cache) is Failure.UNREACHABLE

    talk(said, says=lambda question, nth: Says(failure=Failure.UNREACHABLE if nth > 1 else None), ttl=100.0)


def test_an_answer_that_nobody_uses_is_not_fetched_anew() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        await key(cache)
        await asyncio.sleep(1000)
        assert len(scripted.calls) == 1

    talk(said, ttl=100.0)


def test_the_least_recently_used_goes_first() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        for name in ("a", "b", "a", "c", "a"):
            await key(cache, ask(resource_id=name))
        assert [question.resource_id for _, question in scripted.calls] == ["a", "b", "c"]
        await key(cache, ask(resource_id="b"))
        assert [question.resource_id for _, question in scripted.calls] == ["a", "b", "c", "b"]
        assert cache.entries == 2

    talk(said, most=2)


@pytest.mark.parametrize("failing", [False, True])
def test_who_asks_for_very_many_loses_its_own_and_nobody_elses(failing: bool) -> None:
    """Answers or failures alike."""

    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        await key(cache, ask(caller="team/quiet"))
        for number in range(20):
            with suppress(ProviderError):
                await key(cache, ask(caller="team/loud", parameters={"path": f"/{number}"}))
        assert cache.entries == 4
        asked = len(scripted.calls)
        await key(cache, ask(caller="team/quiet"))
        assert len(scripted.calls) == asked
        with suppress(ProviderError):
            await key(cache, ask(caller="team/loud", parameters={"path": "/0"}))
        assert len(scripted.calls) == asked + 1

    talk(said, says=lambda ask, nth: Says(failure=Failure.STATUS if failing and nth > 1 else None), most=10, each=3)


def test_an_upstreams_401_drops_the_answer_that_it_refused() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        old = await cache.fetch(ASK, deadline=5)
        await asyncio.sleep(60)
        assert cache.invalidate(ASK, old)
        new = await cache.fetch(ASK, deadline=5)
        assert new is not old
        assert observer.lookups["dropped"] == 1
        await asyncio.sleep(60)
        assert not cache.invalidate(ASK, old), "a late 401 for the old key says nothing of the new one"
        assert await cache.fetch(ASK, deadline=5) is new

    talk(said)


def test_a_storm_of_401_costs_one_question_in_ten_seconds() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        for _ in range(1000):
            answer = await cache.fetch(ASK, deadline=5)
            cache.invalidate(ASK, answer)
            await asyncio.sleep(0.1)
        assert 9 <= len(scripted.calls) <= 11

    talk(said)


def test_a_401_of_one_caller_drops_nothing_of_another() -> None:
    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        mine = await cache.fetch(ASK, deadline=5)
        theirs = await cache.fetch(ask(caller="team/other"), deadline=5)
        await asyncio.sleep(60)
        assert not cache.invalidate(ASK, theirs)
        assert await cache.fetch(ASK, deadline=5) is mine

    talk(said)


def test_a_providers_bug_fails_its_question_and_its_text_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def said(cache: CachedProvider, scripted: Scripted, observer: Counted) -> None:
        assert await failure(cache) is Failure.INTERNAL
        assert await key(cache, ask(caller="team/other"))

    talk(said, says=lambda question, nth: Says(failure=RuntimeError(f"{KEY} {TOKEN}") if nth == 1 else None))
    assert "RuntimeError" in caplog.text
    assert KEY not in caplog.text
    assert TOKEN not in caplog.text


def test_a_provider_that_keeps_no_deadline_is_left() -> None:
    class Deaf:
        async def fetch(self, question: ProviderRequest, *, deadline: float) -> ProviderAnswer:
            await asyncio.sleep(9999)
            raise AssertionError

    async def asking() -> None:
        async with CachedProvider(Deaf(), observer=Counted()) as cache:
            assert await failure(cache, deadline=60) is Failure.TIMEOUT
            assert asyncio.get_running_loop().time() < 5

    run(asking())


def test_when_it_is_closed_whoever_waits_is_told_and_nobody_is_answered_any_more() -> None:
    async def asking() -> None:
        scripted = Scripted(lambda question, nth: Says(delay=1))
        async with asyncio.TaskGroup() as group:
            async with CachedProvider(scripted, observer=Counted()) as cache:
                waiting = [group.create_task(failure(cache, ask(caller=f"team/{number}"))) for number in range(3)]
                await asyncio.sleep(0.5)
                waiting.append(group.create_task(failure(cache, ask(caller="team/late"))))
                await asyncio.sleep(0)
            closed_at = asyncio.get_running_loop().time()
        assert [task.result() for task in waiting] == [Failure.CLOSED] * 4
        assert asyncio.get_running_loop().time() == closed_at
        assert await failure(cache) is Failure.CLOSED

    run(asking())


def test_a_key_in_memory_shows_no_token() -> None:
    assert TOKEN.encode() not in digest(ASK)
    assert len(digest(ASK)) == 32


def test_what_has_ended_is_not_in_memory() -> None:
    memory = Memory(2, 2)
    memory.put(b"k", Kept(owner="a", said=Failure.STATUS, fetched_at=0, refresh_at=1, until=1))
    assert memory.get(b"k", 0.999) is not None
    assert memory.get(b"k", 1) is None
    assert len(memory) == 0
