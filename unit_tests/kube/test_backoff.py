"""Pauses between attempts: longer each time, within their limits, and short again after health."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from kube.backoff import Backoff
from unit_tests.kube.virtual import run

DRAWN = st.floats(0, 0.999)


def test_without_jitter_each_pause_is_twice_the_one_before_until_the_most() -> None:
    backoff = Backoff(first=1, most=10, jitter=0, random=lambda: 0.9)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]


@given(first=st.floats(0.01, 5), times=st.floats(1, 100), factor=st.floats(1, 4), jitter=st.floats(0, 1), drawn=st.lists(DRAWN, min_size=1))
def test_no_pause_is_shorter_than_the_first_or_longer_than_the_most(
    first: float, times: float, factor: float, jitter: float, drawn: list[float]
) -> None:
    source = iter(drawn)
    backoff = Backoff(first=first, factor=factor, most=first * times, jitter=jitter, random=lambda: next(source))
    assert all(first <= backoff.next() <= first * times * 1.0000001 for _ in drawn)


def test_the_longest_pauses_differ_too() -> None:
    source = iter([0.0] * 10 + [0.1, 0.9])
    backoff = Backoff(first=1, most=30, random=lambda: next(source))
    pauses = [backoff.next() for _ in range(12)]
    assert pauses[-2] != pauses[-1]
    assert max(pauses) <= 30


def test_a_reset_begins_from_the_first() -> None:
    backoff = Backoff(first=1, most=10, jitter=0, random=lambda: 0.0)
    assert (backoff.next(), backoff.next()) == (1, 2)
    backoff.reset()
    assert backoff.next() == 1


def test_health_is_counted_from_the_end_of_the_last_pause() -> None:
    async def pauses(healthy: float) -> list[float]:
        backoff = Backoff(first=1, most=100, jitter=0, reset_after=10, random=lambda: 0.0)
        first, second = backoff.next(), backoff.next()
        await asyncio.sleep(second + healthy)
        return [first, second, backoff.next()]

    assert run(pauses(9.9)) == [1, 2, 4]
    assert run(pauses(10)) == [1, 2, 1]
