"""No object is written more than twice a second; one that is for long is contested, which is told."""

import asyncio
from contextlib import suppress

import pytest

from controller import pace
from controller.pace import CONTESTED, Pace, TooSoon
from unit_tests.kube.virtual import run


async def written(found: Pace, item: str, seconds: float, every: float) -> int:
    """How often it was, where it is tried that often for so long."""
    count = 0
    for _ in range(round(seconds / every)):
        with suppress(TooSoon):
            found.take(item)
            count += 1
        await asyncio.sleep(every)
    return count


def test_two_writes_a_second_and_no_more_however_often_it_is_tried():
    assert run(written(Pace(), "x", 60, 0.02)) <= 122


def test_one_objects_writes_do_not_hold_up_another():
    async def story():
        found = Pace()
        for item in "abc":
            found.take(item)
            found.take(item)
        with pytest.raises(TooSoon) as soon:
            found.take("a")
        assert soon.value.seconds == 1

    run(story())


def test_what_is_written_as_often_as_it_may_be_for_ten_seconds_is_told_once_for_that():
    told: list[object] = []
    count = run(written(Pace(told.append), "x", 60, 0.02))
    assert told == ["x"] * (count // CONTESTED)
    assert len(told) in (5, 6)


@pytest.mark.parametrize("every", [2.5, 10])
def test_an_object_that_is_edited_now_and_then_is_not_contested(every):
    told: list[object] = []
    run(written(Pace(told.append), "x", 3600, every))
    assert told == []


def test_it_remembers_the_latest_and_no_more(monkeypatch):
    async def story():
        monkeypatch.setattr(pace, "MOST_KEPT", 2)
        found = Pace()
        for item in ("a", "a", "b", "c"):
            found.note(item)
        assert found.wait("a") == 0
        assert len(found._written) == 2

    run(story())
