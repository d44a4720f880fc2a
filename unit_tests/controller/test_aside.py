"""Whoever stands aside still comes to it, and waits only while there is a crowd."""

import asyncio

from controller.aside import PAUSE, Aside
from kube.reconcile import Result
from unit_tests.kube.virtual import run


def took(*, crowd: int, waiting: int) -> float:
    async def reconcile(key: str) -> Result:
        assert key == "a"
        return Result(requeue_after=7)

    async def play() -> float:
        assert await Aside(reconcile=reconcile, crowded=lambda: waiting > crowd)("a") == Result(requeue_after=7)
        return asyncio.get_running_loop().time()

    return run(play())


def test_it_waits_a_moment_while_others_have_much_to_do():
    assert took(crowd=16, waiting=17) == PAUSE


def test_it_waits_for_nobody_else():
    assert took(crowd=16, waiting=16) == 0
