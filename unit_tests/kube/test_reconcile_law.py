"""Whatever is added, and whatever goes wrong with it, in any order: every key is reconciled after it was added last, by one worker."""

import asyncio
import random
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from kube.errors import Conflict, NotFound, Throttled, Unavailable
from kube.reconcile import Controller, Result, TerminalError
from kube.waiting import Priority
from kube.workqueue import WorkQueue
from unit_tests.kube.virtual import run

KEYS = "abcd"
TIMEOUT = 5.0
LONGEST_QUEUE = 3 * TIMEOUT
"""Each of the other keys may be in front once, since the one that waits does so in the same order."""
FAILURES = {
    "error": lambda: ValueError("broken"),
    "conflict": lambda: Conflict("changed"),
    "gone": lambda: NotFound("gone"),
    "away": lambda: Unavailable("away"),
    "throttled": lambda: Throttled("slow down", retry_after=20.0),
    "terminal": lambda: TerminalError("no use"),
    "cancelled": asyncio.CancelledError,
}

steps = st.tuples(st.sampled_from([*FAILURES, "hang", "success", "later"]), st.sampled_from([0.0, 0.01, 1.0, 4.9]))
scripts = st.fixed_dictionaries({key: st.lists(steps, max_size=12) for key in KEYS})
adds = st.lists(st.tuples(st.sampled_from([0.0, 0.004, 0.5, 3.0, 40.0]), st.sampled_from(KEYS), st.sampled_from(Priority)), max_size=40)


@dataclass
class World:
    """`log` has what happened to each key: when it was added, when it was taken and when that attempt ended, and how."""

    scripts: dict
    log: dict = field(default_factory=lambda: {key: [] for key in KEYS})
    busy: set = field(default_factory=set)

    def note(self, key, what, how=""):
        self.log[key].append((what, how, asyncio.get_running_loop().time()))

    async def reconcile(self, key):
        assert key not in self.busy, "two workers on one key"
        self.busy.add(key)
        how, takes = self.scripts[key].pop(0) if self.scripts[key] else ("success", 0.0)
        try:
            await asyncio.sleep(1000 if how == "hang" else takes)
            if how in FAILURES:
                raise FAILURES[how]()  # noqa: RSE102 — each a new one
            return Result(requeue_after=30.0 if how == "later" else None)
        finally:
            self.busy.discard(key)
            self.note(key, "ended", how)


class Watched(WorkQueue):
    """An item is taken the moment a worker is given it, which may be before that worker runs."""

    def __init__(self, world, seed):
        super().__init__(random=random.Random(seed).random)
        self.world = world

    def _take(self):
        item = super()._take()
        self.world.note(item, "taken")
        return item


async def play(world, what, seed):
    q = Watched(world, seed)
    controller = Controller("law", world.reconcile, q, workers=3, timeout=TIMEOUT)
    async with asyncio.TaskGroup() as group:
        group.create_task(controller.run())
        for pause, key, priority in what:
            await asyncio.sleep(pause)
            world.note(key, "added")
            q.add(key, priority=priority)
        await asyncio.sleep(4000)
        found = q.statistics()
        q.shut_down()
    assert (found.depth, found.processing, found.delayed) == (0, 0, 0)


@settings(max_examples=150, deadline=None)
@given(scripts, adds, st.integers(0, 1000))
def test_every_key_is_reconciled_after_it_was_added_last_whatever_went_wrong_before(scripts, what, seed):
    world = World({key: list(script) for key, script in scripts.items()})
    run(play(world, what, seed))
    for key, log in world.log.items():
        assert_reconciled(log)
        assert_rests(log)
        assert bool(log) == any(key == added for _, added, _ in what)


def assert_reconciled(log):
    """The last attempt began after the last add, and ended in success or in an error that trying again does not help."""
    if not log:
        return
    taken = [number for number, (what, _, _) in enumerate(log) if what == "taken"]
    added = [number for number, (what, _, _) in enumerate(log) if what == "added"]
    assert taken[-1] > added[-1]
    assert log[-1][:2] in (("ended", "success"), ("ended", "terminal"))


def assert_rests(log):
    """Between an attempt and the next, where nobody added the key meanwhile, lies what the end of the first asks for."""
    failures = 0
    for position, ((what, how, moment), after) in enumerate(pairwise(log)):
        if what != "ended":
            continue
        failures = 0 if how in ("success", "terminal", "later") else failures + 1
        if after[0] != "taken" or log[position - 1][0] == "added" or later_pending(log[:position]):
            continue
        assert how not in ("success", "terminal"), "taken without a reason"
        least = {"throttled": 20, "later": 30}.get(how, min(0.005 * 2 ** max(failures - 1, 0), 200))
        assert least - 1e-4 <= after[2] - moment <= 300 + LONGEST_QUEUE


def later_pending(log):
    return any(what == "ended" and how == "later" for what, how, _ in log)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_rests_of_a_key_that_fails_for_ever_grow_up_to_five_minutes_and_no_further(seed, times):
    world = World({key: [("error", 0.0)] * times for key in KEYS})

    async def story():
        q = Watched(world, seed)
        task = asyncio.ensure_future(Controller("law", world.reconcile, q, workers=2, timeout=TIMEOUT).run())
        for key in KEYS:
            q.add(key)
        await asyncio.sleep(20_000)
        q.shut_down()
        await task

    run(story())
    for log in world.log.values():
        moments = [moment for what, _, moment in log if what == "taken"]
        rests = [later - earlier for earlier, later in pairwise(moments)]
        assert len(moments) == times + 1
        assert all(rest <= 300.01 for rest in rests)
        assert all(later > 1.3 * earlier or earlier > 90 for earlier, later in pairwise(rests))
