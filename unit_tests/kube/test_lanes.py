"""Connections: one a request, the last used first, none lost, idle ones closed; on virtual time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kube.lanes import Lanes
from unit_tests.kube.virtual import run

REQUEST = httpx.Request("GET", "https://api.test/")


class Body(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"said"


class Lane(httpx.AsyncBaseTransport):
    def __init__(self, number: int, fails: bool) -> None:
        self.number = number
        self.closed = False
        self._fails = fails

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(1)
        if self._fails:
            raise httpx.ConnectError("no")
        return httpx.Response(200, headers={"lane": str(self.number)}, stream=Body())

    async def aclose(self) -> None:
        self.closed = True


class Road:
    """Lanes, and every connection that was ever made for them."""

    def __init__(self, most: int = 10) -> None:
        self.made: list[Lane] = []
        self.fails = False
        self.lanes = Lanes(self._connect, most=most, keep=60)

    def _connect(self) -> Lane:
        self.made.append(Lane(len(self.made), self.fails))
        return self.made[-1]

    async def call(self) -> str:
        response = await self.lanes.handle_async_request(REQUEST)
        assert await response.aread() == b"said"
        await response.aclose()
        return response.headers["lane"]


def test_calls_in_turn_use_one_connection_and_calls_at_once_as_many_as_they_are() -> None:
    async def calling() -> Any:
        road = Road()
        alone = [await road.call() for _ in range(3)]
        return alone, sorted(await asyncio.gather(*(road.call() for _ in range(4)))), len(road.made)

    assert run(calling()) == (["0"] * 3, ["0", "1", "2", "3"], 4)


def test_more_calls_than_may_be_at_once_wait_for_their_turn() -> None:
    async def calling() -> Any:
        road = Road(most=2)
        await asyncio.gather(*(road.call() for _ in range(6)))
        return len(road.made), asyncio.get_running_loop().time()

    assert run(calling()) == (2, pytest.approx(3, abs=0.1))


def test_an_answer_that_is_not_read_holds_its_connection_until_it_is_closed() -> None:
    async def calling() -> Any:
        road = Road(most=1)
        held = await road.lanes.handle_async_request(REQUEST)
        waiting = asyncio.get_running_loop().create_task(road.call())
        await asyncio.sleep(100)
        assert not waiting.done()
        await held.aclose()
        await held.aclose()
        return await waiting, len(road.made)

    assert run(calling()) == ("0", 1)


@pytest.mark.parametrize("how", ["fails", "cancelled"])
def test_a_call_that_failed_closes_its_connection_and_gives_its_turn_back(how: str) -> None:
    async def calling() -> Any:
        road = Road(most=1)
        road.fails = how == "fails"
        calling = asyncio.get_running_loop().create_task(road.call())
        await asyncio.sleep(0.5)
        if how == "cancelled":
            calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        road.fails = False
        return await road.call(), [lane.closed for lane in road.made]

    assert run(calling()) == ("1", [True, False])


def test_connections_that_nobody_wants_are_closed_by_those_who_still_call() -> None:
    async def calling() -> Any:
        road = Road()
        await asyncio.gather(*(road.call() for _ in range(4)))
        for _ in range(70):
            await road.call()
        return [lane.closed for lane in road.made].count(False)

    assert run(calling()) == 1


def test_closing_closes_what_is_idle() -> None:
    async def calling() -> Any:
        road = Road()
        await asyncio.gather(*(road.call() for _ in range(4)))
        await road.lanes.aclose()
        return all(lane.closed for lane in road.made)

    assert run(calling())
