"""F6: however many keys fail, their retries together are bounded; and once they succeed, nothing holds them up."""

import asyncio
import random

import pytest

from kube.budget import BURST, PER_SECOND, RetryBudget
from kube.errors import Unavailable
from kube.reconcile import Controller, Result
from kube.workqueue import WorkQueue
from unit_tests.kube.virtual import run

KEYS = 1000
OUTAGE = 120.0


def test_it_gives_as_much_as_it_holds_and_then_what_drips_in():
    async def story():
        budget = RetryBudget(per_second=2, burst=3)
        assert [budget.take() for _ in range(4)] == [True, True, True, False]
        await asyncio.sleep(1)
        assert [budget.take() for _ in range(3)] == [True, True, False]
        budget.give_back()
        assert budget.take()
        await asyncio.sleep(3600)
        assert budget.left == 3

    run(story())


class Outage:
    """Each attempt fails with that chance until it is over."""

    def __init__(self, chance: float) -> None:
        self.chance, self.random = chance, random.Random(1)
        self.attempts: list[float] = []
        self.done: dict[str, float] = {}

    async def __call__(self, key: str) -> Result:
        now = asyncio.get_running_loop().time()
        self.attempts.append(now)
        await asyncio.sleep(0.05)
        if now < OUTAGE and self.random.random() < self.chance:
            raise Unavailable("500")
        self.done[key] = now
        return Result()


def through(chance: float) -> Outage:
    async def story():
        outage = Outage(chance)
        queue: WorkQueue[str] = WorkQueue(random=random.Random(2).random)
        controller = Controller("test", outage, queue, workers=8, timeout=10)
        for number in range(KEYS):
            queue.add(f"key-{number}")
        async with asyncio.TaskGroup() as group:
            group.create_task(controller.run())
            await asyncio.sleep(OUTAGE + 400)
            queue.shut_down()
        return outage

    return run(story())


@pytest.mark.parametrize("chance", [1.0, 0.9])
def test_a_thousand_keys_that_fail_are_tried_ten_times_a_second_together(chance):
    outage = through(chance)
    tried = sum(moment < OUTAGE for moment in outage.attempts)
    assert tried <= KEYS + 1.05 * (BURST + PER_SECOND * OUTAGE) / chance
    assert len(outage.done) == KEYS


def test_where_half_of_all_attempts_fail_a_thousand_keys_are_done_soon():
    outage = through(0.5)
    assert len(outage.done) == KEYS
    assert max(outage.done.values()) <= 60


def test_after_an_outage_the_budget_holds_nobody_up():
    """What is left is each key's own back-off, five minutes and half of that at most."""
    outage = through(1.0)
    waited = sorted(moment - OUTAGE for moment in outage.done.values())
    per_second = [sum(1 for moment in waited if second <= moment < second + 1) for second in range(int(waited[-1]))]
    assert max(per_second) > PER_SECOND / 2
    assert waited[-1] <= 300


def test_a_key_that_always_fails_costs_the_others_nothing():
    """F15."""

    async def story():
        budget = RetryBudget()
        queue: WorkQueue[int] = WorkQueue(random=lambda: 0.0, budget=budget)

        async def reconcile(key: int) -> Result:
            if key < 10:
                raise Unavailable("for ever")
            return Result()

        controller = Controller("test", reconcile, queue, workers=2, timeout=10)
        for key in range(20):
            queue.add(key)
        async with asyncio.TaskGroup() as group:
            group.create_task(controller.run())
            await asyncio.sleep(OUTAGE)
            assert budget.left > BURST * 0.9
            queue.shut_down()

    run(story())
