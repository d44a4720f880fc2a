"""The loop beats by itself, and falls silent when it is blocked."""

import asyncio

import pytest

from daemon.heartbeat import INTERVAL, Heartbeat
from unit_tests.kube.virtual import run


def test_a_loop_that_moves_is_not_silent_and_not_late() -> None:
    late: list[float] = []

    async def live() -> float:
        heartbeat = Heartbeat(clock=asyncio.get_running_loop().time, late=late.append)
        beating = asyncio.ensure_future(heartbeat.run())
        await asyncio.sleep(60)
        silence = heartbeat.silence()
        beating.cancel()
        return silence

    assert run(live()) <= INTERVAL
    assert len(late) >= 60 / INTERVAL - 1
    assert max(late) == pytest.approx(0, abs=0.01)


def test_without_a_beat_the_silence_grows_from_the_beginning() -> None:
    now = [100.0]
    heartbeat = Heartbeat(clock=lambda: now[0], late=lambda _: None)
    now[0] = 131.5
    assert heartbeat.silence() == 31.5


def test_a_blocked_loop_is_late_by_as_much() -> None:
    late: list[float] = []

    class Slow:
        """A loop whose time jumps while a coroutine sleeps, as when something else has kept it."""

        def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
            self.loop, self.lost = loop, 0.0

        def time(self) -> float:
            return self.loop.time() + self.lost

    async def live() -> None:
        slow = Slow(asyncio.get_running_loop())
        heartbeat = Heartbeat(clock=lambda: 0.0, late=late.append)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("daemon.heartbeat.asyncio.get_running_loop", lambda: slow)
            beating = asyncio.ensure_future(heartbeat.run())
            await asyncio.sleep(INTERVAL / 2)
        slow.lost = 3.0
        await asyncio.sleep(INTERVAL)
        beating.cancel()

    run(live())
    assert late[0] == pytest.approx(3.0, abs=0.01)
