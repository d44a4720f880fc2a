"""The queue and a naive model of it are told the same, in any order; afterwards they must agree on everything that can be seen."""

import asyncio
import random
from functools import partial

import looptime
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kube.waiting import ONE_IN, Priority
from kube.workqueue import ShutDown, WorkQueue
from unit_tests.kube.virtual import run

ITEMS = st.sampled_from("abcd")
PRIORITIES = st.sampled_from(Priority)
FIRST, JITTER = 0.3, 0.11
"""Retries are never due at a whole second, so that the order of two that are due together is never open."""


class Model:
    """Lists and dictionaries; slow and plain."""

    def __init__(self):
        self.now = 0.0
        self.lanes = {Priority.NORMAL: [], Priority.LOW: []}
        self.passed_over = 0
        self.working, self.again, self.failures = {}, {}, {}
        self.later, self.to_retry = {}, {}
        self.waiters, self.handed = [], {}
        self.adds = self.retries = 0
        self.stopped = False

    def add(self, item, priority):
        if self.stopped:
            return
        if item in self.working:
            self.adds += item not in self.again
            self.again[item] = max(priority, self.again.get(item, priority))
        else:
            self.push(item, priority)
        self.serve()

    def push(self, item, priority):
        high, low = self.lanes[Priority.NORMAL], self.lanes[Priority.LOW]
        self.adds += item not in high + low
        if item in high or (item in low and priority is Priority.LOW):
            return
        if item in low:
            low.remove(item)
        self.lanes[priority].append(item)

    def after(self, which, item, seconds, priority):
        if self.stopped:
            return
        priority = self.working.get(item, Priority.NORMAL) if priority is None else priority
        self.retries += 1
        if seconds <= 0:
            self.add(item, priority)
            return
        when, before = which.get(item, (self.now + seconds, priority))
        which[item] = (min(when, self.now + seconds), max(before, priority))

    def rate_limited(self, item):
        if self.stopped:
            return
        count = self.failures[item] = self.failures.get(item, 0) + 1
        self.after(self.to_retry, item, FIRST * 2 ** (count - 1) * (1 + JITTER / 2), None)

    def forget(self, item):
        self.failures.pop(item, None)
        self.to_retry.pop(item, None)

    def advance(self, seconds):
        self.now += seconds
        due = [(when, which, item) for which in (self.later, self.to_retry) for item, (when, _) in which.items() if when <= self.now]
        for _, which, item in sorted(due, key=lambda each: each[0]):
            self.add(item, which.pop(item)[1])

    def serve(self):
        while self.waiters and any(self.lanes.values()):
            self.handed[self.waiters.pop(0)] = self.take()

    def take(self):
        high, low = self.lanes[Priority.NORMAL], self.lanes[Priority.LOW]
        take_low = not high or (bool(low) and self.passed_over == ONE_IN - 1)
        self.passed_over = self.passed_over + 1 if high and low and not take_low else 0
        item = (low if take_low else high).pop(0)
        self.working[item] = Priority.LOW if take_low else Priority.NORMAL
        self.to_retry.pop(item, None)
        return item

    def give_back(self, item):
        priority = max(self.working.pop(item), self.again.pop(item, Priority.LOW))
        self.lanes[priority].insert(0, item)
        self.serve()

    def done(self, item):
        del self.working[item]
        if item in self.again:
            priority = self.again.pop(item)
            self.push(item, priority)
            self.adds -= 1  # it was counted when it was added
        self.serve()

    def shut_down(self):
        self.stopped = True
        self.later, self.to_retry, self.failures = {}, {}, {}


class QueueLaw(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = looptime.patch_event_loop(asyncio.new_event_loop(), start=0.0)
        self.queue, self.model = WorkQueue(random=lambda: JITTER, first=FIRST, most=10_000), Model()
        self.getters, self.number = {}, 0

    def step(self, *actions, seconds=0):
        async def story():
            for action in actions:
                action()
            await asyncio.sleep(seconds)
            for _ in range(5):
                await asyncio.sleep(0)

        self.loop.run_until_complete(story())

    @rule(item=ITEMS, priority=PRIORITIES)
    def add(self, item, priority):
        self.step(lambda: self.queue.add(item, priority=priority))
        self.model.add(item, priority)

    @rule(item=ITEMS, seconds=st.integers(-1, 20), priority=st.none() | PRIORITIES)
    def add_after(self, item, seconds, priority):
        self.step(lambda: self.queue.add_after(item, seconds, priority=priority))
        self.model.after(self.model.later, item, seconds, priority)

    @rule(item=ITEMS)
    def add_rate_limited(self, item):
        self.step(lambda: self.queue.add_rate_limited(item))
        self.model.rate_limited(item)

    @rule(item=ITEMS)
    def forget(self, item):
        self.step(lambda: self.queue.forget(item))
        self.model.forget(item)

    @precondition(lambda self: not self.model.stopped)
    @rule()
    def worker_comes(self):
        self.number += 1
        self.step(lambda: self.getters.update({self.number: asyncio.ensure_future(self.queue.get(), loop=self.loop)}))
        self.model.waiters.append(self.number)
        self.model.serve()

    @precondition(lambda self: self.model.waiters)
    @rule(data=st.data())
    def worker_is_cancelled(self, data):
        number = data.draw(st.sampled_from(self.model.waiters))
        self.step(lambda: self.getters.pop(number).cancel())
        self.model.waiters.remove(number)

    @precondition(lambda self: self.model.waiters and not self.model.stopped)
    @rule(item=ITEMS, priority=PRIORITIES, then=st.none() | PRIORITIES)
    def worker_is_cancelled_in_the_moment_of_getting(self, item, priority, then):
        first = self.model.waiters[0]
        given = [priority] if then is None else [priority, then]
        adds = [partial(self.queue.add, item, priority=each) for each in given]
        for each in given:
            self.model.add(item, each)
        if self.model.handed.pop(first, None) is None:
            self.step(*adds)
            return
        self.step(*adds, lambda: self.getters.pop(first).cancel())
        self.model.give_back(item)

    @precondition(lambda self: self.model.working)
    @rule(data=st.data())
    def done(self, data):
        item = data.draw(st.sampled_from(sorted(self.model.working)))
        self.step(lambda: self.queue.done(item))
        self.model.done(item)

    @rule(seconds=st.integers(1, 30))
    def time_passes(self, seconds):
        self.step(seconds=seconds)
        self.model.advance(seconds)

    @precondition(lambda self: not self.model.stopped and self.number > 3)
    @rule()
    def shut_down(self):
        self.step(self.queue.shut_down)
        for number in self.model.waiters:
            assert isinstance(self.getters.pop(number).exception(), ShutDown)
        self.model.waiters.clear()
        self.model.shut_down()

    @precondition(lambda self: self.model.stopped)
    @rule()
    def worker_comes_late(self):
        async def story():
            try:
                return await self.queue.get()
            except ShutDown:
                return None

        expected = self.model.take() if any(self.model.lanes.values()) else None
        assert self.loop.run_until_complete(story()) == expected

    @invariant()
    def everybody_got_what_the_model_says(self):
        for number, item in self.model.handed.items():
            assert self.getters.pop(number).result() == item
        self.model.handed.clear()
        assert not any(getter.done() for getter in self.getters.values())

    @invariant()
    def the_figures_agree(self):
        found, model = self.loop.run_until_complete(self.figures()), self.model
        lanes = {priority: len(lane) + list(model.again.values()).count(priority) for priority, lane in model.lanes.items()}
        assert found.depths == lanes
        assert (found.depth, found.processing) == (sum(lanes.values()), len(model.working))
        assert found.delayed == len(model.later) + len(model.to_retry)
        assert (found.adds, found.retries) == (model.adds, model.retries)
        assert all(self.queue.retries(item) == model.failures.get(item, 0) for item in "abcd")

    async def figures(self):
        return self.queue.statistics()

    def teardown(self):
        for getter in self.getters.values():
            getter.cancel()
        self.step(self.queue.shut_down)
        self.loop.close()


QueueLaw.TestCase.settings = settings(max_examples=120, stateful_step_count=60, deadline=None)
TestQueueLaw = QueueLaw.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_fifty_producers_and_ten_consumers_that_add_again_lose_nothing_and_never_share_an_item(seed):
    source = random.Random(seed)
    latest, served, busy = {}, {}, set()

    async def producer(q, number):
        for round_ in range(40):
            item = (number * 7 + round_) % 60
            latest[item] = latest.get(item, 0) + 1
            q.add(item, priority=source.choice(list(Priority)))
            await asyncio.sleep(source.choice([0, 0, 0.001, 0.01]))

    async def consumer(q):
        while True:
            try:
                item = await q.get()
            except ShutDown:
                return
            assert item not in busy
            busy.add(item)
            seen = latest[item]
            await asyncio.sleep(source.choice([0, 0.001, 0.02]))
            if source.random() < 0.2:
                source.choice([q.add, q.add_rate_limited])(item)
            else:
                q.forget(item)
            served[item] = seen
            busy.discard(item)
            q.done(item)

    async def story():
        q = WorkQueue(random=source.random)
        async with asyncio.TaskGroup() as group:
            consumers = [group.create_task(consumer(q)) for _ in range(10)]
            await asyncio.gather(*(producer(q, number) for number in range(50)))
            await q.idle()
            while q.statistics().delayed:
                await asyncio.sleep(0.1)
                await q.idle()
            q.shut_down()
        assert all(task.done() for task in consumers)
        return q.statistics()

    found = run(story())
    assert served == latest
    assert found.depth == found.processing == found.delayed == 0
