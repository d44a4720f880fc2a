"""How the process ends: told to, it ends, whatever it is at."""

import asyncio
from types import SimpleNamespace

import pytest

from controller.run import FAILED, OK, act, finished, working
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


@pytest.mark.parametrize(("after", "done"), [(5.0, False), (300.0, True)])
def test_told_to_end_once_ends_at_once_and_does_not_claim_that_all_is_done(after: float, done: bool) -> None:
    """Every call takes ten seconds."""

    async def play() -> tuple[bool, float]:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with staged() as stage:
            stage.put(template())

            async def slow(*arguments: object, **more: object) -> object:
                await asyncio.sleep(10)
                return await request(*arguments, **more)

            request, stage.server.request = stage.server.request, slow
            async with stage.process() as assembly:
                loop.call_later(after, stop.set)
                began = loop.time()
                return await finished(stop, assembly.once()), loop.time() - began

    complete, took = run(play())
    assert complete is done
    assert took <= after


@pytest.mark.parametrize(("once", "code"), [(True, FAILED), (False, OK)])
def test_told_to_end_before_the_caches_are_filled_once_has_failed(once: bool, code: int) -> None:
    async def late() -> None:
        await asyncio.sleep(10_000)

    async def play() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5.0, stop.set)
        settings, assembly = SimpleNamespace(once=once), SimpleNamespace(synced=late)
        return await act(settings, None, assembly, stop, None)  # type: ignore[arg-type]

    assert run(play()) == code
