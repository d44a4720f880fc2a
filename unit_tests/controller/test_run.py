"""How the process ends: told to, it ends, whatever it is at."""

import asyncio
from types import SimpleNamespace

import pytest

from controller.run import working
from unit_tests.controller.raw_objects import profile, template
from unit_tests.controller.stage import staged
from unit_tests.kube.virtual import run


def ended_after(seconds: float) -> tuple[float, int]:
    """How long it took to end where it was told so after `seconds`, and how many writes there were."""

    async def play() -> tuple[float, int]:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with staged() as stage:
            stage.opt_in("team-a")
            stage.put(template())
            stage.put(profile())
            async with stage.process() as assembly:
                loop.call_later(seconds, stop.set)
                began = loop.time()
                await working(assembly, stop)
                took = loop.time() - began - seconds
            return took, len(stage.writes())

    return run(play())


def test_told_to_end_while_it_prepares_it_ends_at_once_and_has_written_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(*_: object) -> None:
        await asyncio.sleep(10_000)

    monkeypatch.setattr("controller.order.asyncio", SimpleNamespace(to_thread=late))
    assert ended_after(5.0) == (0.0, 0)


def test_told_to_end_while_it_works_it_ends_what_is_in_hand() -> None:
    took, writes = ended_after(30.0)
    assert took < 1
    assert writes > 0
