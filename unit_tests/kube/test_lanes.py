"""Connections: one a request, the last used first, none lost, idle ones closed; on virtual time."""

import asyncio
from typing import Any

import pytest

from kube.lanes import Lanes
from unit_tests.kube.virtual import run


class Lane:
    def __init__(self, number: int) -> None:
        self.number = number
        self.open = True
        self.finished = True

    def reusable(self) -> bool:
        return self.open and self.finished

    def close(self) -> None:
        self.open = False


class Road:
    """Lanes, and every connection that was ever made for them."""

    def __init__(self, most: int = 10) -> None:
        self.made: list[Lane] = []
        self.lanes = Lanes(self._make, most=most, keep=60)

    def _make(self) -> Lane:
        self.made.append(Lane(len(self.made)))
        return self.made[-1]

    async def call(self, seconds: float = 1, *, fails: bool = False) -> int:
        async with self.lanes.lane() as lane:
            lane.finished = False
            await asyncio.sleep(seconds)
            if fails:
                raise ConnectionError
            lane.finished = True
            return lane.number


def test_calls_in_turn_use_one_connection_and_calls_at_once_as_many_as_they_are() -> None:
    async def calling() -> Any:
        road = Road()
        alone = [await road.call() for _ in range(3)]
        return alone, sorted(await asyncio.gather(*(road.call() for _ in range(4)))), len(road.made)

    assert run(calling()) == ([0] * 3, [0, 1, 2, 3], 4)


def test_more_calls_than_may_be_at_once_wait_for_their_turn() -> None:
    async def calling() -> Any:
        road = Road(most=2)
        await asyncio.gather(*(road.call() for _ in range(6)))
        return len(road.made), asyncio.get_running_loop().time()

    assert run(calling()) == (2, pytest.approx(3, abs=0.1))


def test_the_one_that_was_used_last_is_used_next() -> None:
    """So that those which are not needed grow old."""

    async def calling() -> Any:
        road = Road()
        await asyncio.gather(road.call(3), road.call(1), road.call(2))
        return [await road.call() for _ in range(2)]

    assert run(calling()) == [0, 0]


@pytest.mark.parametrize("how", ["fails", "cancelled"])
def test_a_call_that_failed_closes_its_connection_and_gives_its_turn_back(how: str) -> None:
    async def calling() -> Any:
        road = Road(most=1)
        calling = asyncio.get_running_loop().create_task(road.call(fails=how == "fails"))
        await asyncio.sleep(0.5)
        if how == "cancelled":
            calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        return await road.call(), [lane.open for lane in road.made]

    assert run(calling()) == (1, [False, True])


def test_what_the_server_closed_meanwhile_is_passed_over() -> None:
    async def calling() -> Any:
        road = Road()
        await asyncio.gather(road.call(), road.call(), road.call())
        road.made[2].close()
        road.made[1].close()
        return await road.call()

    assert run(calling()) == 0


def test_connections_that_nobody_wants_are_closed_by_those_who_still_call() -> None:
    async def calling() -> Any:
        road = Road()
        await asyncio.gather(*(road.call() for _ in range(4)))
        for _ in range(70):
            await road.call()
        return [lane.open for lane in road.made].count(True)

    assert run(calling()) == 1


def test_closing_closes_what_is_idle() -> None:
    async def calling() -> Any:
        road = Road()
        await asyncio.gather(*(road.call() for _ in range(4)))
        road.lanes.close()
        return any(lane.open for lane in road.made)

    assert not run(calling())
