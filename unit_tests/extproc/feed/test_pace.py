"""Long work takes its turns among others, whatever clock the loop has, and what it makes is not looked through again."""

import asyncio
import gc
from time import perf_counter

import pytest
import uvloop

from extproc.feed.pace import MANY, SLICE, Pace, uncollected


def busy(seconds):
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_others_have_their_turn_after_every_slice(new_loop):
    """uvloop's own clock stands still while a callback runs."""
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        ticking = asyncio.ensure_future(others())
        pace = Pace()
        for _ in range(60):
            busy(SLICE / 2)
            await pace.breathe()
        ticking.cancel()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert turns >= 20


def test_what_many_steps_have_made_is_put_aside():
    """Of few nothing is, since what is garbage in that moment would stay."""

    async def main(steps):
        pace, before = Pace(), gc.get_freeze_count()
        for _ in range(steps):
            await pace.breathe()
        return gc.get_freeze_count() - before

    try:
        assert asyncio.run(main(MANY - 1)) == 0
        assert asyncio.run(main(MANY)) > 0
    finally:
        gc.unfreeze()


def test_the_collector_works_again_after_a_failure():
    """And never stopped where there is little."""
    try:
        with uncollected(many=False):
            assert gc.isenabled()
        with pytest.raises(AssertionError), uncollected(many=True):
            assert gc.isenabled(), "it does not"
        assert gc.isenabled()
    finally:
        gc.unfreeze()
