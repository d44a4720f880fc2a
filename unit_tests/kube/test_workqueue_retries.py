"""What fails comes again, later each time, and what is put off comes when it was put off to."""

import asyncio
from itertools import pairwise

import pytest

from kube.waiting import Priority
from kube.workqueue import WorkQueue
from unit_tests.kube.queues import all_of, at, queue, take
from unit_tests.kube.virtual import run


class TestLater:
    def test_an_item_comes_when_it_is_due_and_not_before(self):
        async def story():
            q = queue()
            q.add_after("a", 10)
            assert await take(q, within=9.9) is None
            assert await take(q, within=0.2) == "a"
            assert at() == pytest.approx(10, abs=1e-3)

        run(story())

    def test_the_earliest_of_several_moments_counts_and_it_comes_once(self):
        async def story():
            q = queue()
            for seconds in (30, 10, 20):
                q.add_after("a", seconds)
            assert await q.get() == "a"
            assert at() == pytest.approx(10)
            q.done("a")
            assert await take(q, within=100) is None

        run(story())

    def test_items_come_in_the_order_of_their_moments(self):
        async def story():
            q = queue()
            for item, seconds in (("c", 3), ("a", 1), ("b", 2), ("d", 3)):
                q.add_after(item, seconds)
            await asyncio.sleep(5)
            assert await all_of(q) == ["a", "b", "c", "d"]

        run(story())

    def test_an_add_now_does_not_undo_what_was_asked_for_later(self):
        async def story():
            q = queue()
            q.add_after("a", 10)
            q.add("a")
            assert await all_of(q) == ["a"]
            assert await take(q, within=10.1) == "a"

        run(story())

    def test_an_earlier_moment_with_a_lower_priority_lowers_nothing(self):
        async def story():
            q = queue()
            q.add_after("a", 20, priority=Priority.NORMAL)
            q.add_after("a", 5, priority=Priority.LOW)
            await asyncio.sleep(6)
            assert q.statistics().depths == {Priority.LOW: 0, Priority.NORMAL: 1}

        run(story())

    def test_a_moment_that_an_earlier_one_replaced_means_nothing_when_it_comes(self):
        async def story():
            q = queue()
            for item, seconds in (("b", 20), ("a", 20), ("a", 5)):
                q.add_after(item, seconds)
            assert await q.get() == "a"
            q.add_after("a", 100)
            q.done("a")
            await asyncio.sleep(50)
            assert await all_of(q) == ["b"]
            assert await take(q, within=60) == "a"

        run(story())

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_without_a_delay_it_is_added_now(self, seconds):
        async def story():
            q = queue()
            q.add_after("a", seconds)
            assert await all_of(q) == ["a"]

        run(story())


class TestRetries:
    async def delays(self, q, times):
        for _ in range(times):
            q.add_rate_limited("a")
            before = asyncio.get_running_loop().time()
            await q.get()
            q.done("a")
            yield asyncio.get_running_loop().time() - before

    def test_each_failure_doubles_the_wait_up_to_five_minutes(self):
        async def story():
            q = queue()
            found = [delay async for delay in self.delays(q, 25)]
            assert found[:4] == pytest.approx([0.005, 0.01, 0.02, 0.04], rel=1e-3)
            assert all(later >= earlier - 1e-4 for earlier, later in pairwise(found))
            assert found[-1] == pytest.approx(200)  # and half of that as jitter
            assert q.retries("a") == 25

        run(story())

    @pytest.mark.parametrize("random", [0.0, 0.3, 0.999])
    def test_jitter_never_shortens_the_wait_nor_lengthens_it_beyond_the_most(self, random):
        async def story():
            q = WorkQueue(random=lambda: random)
            found = [delay async for delay in self.delays(q, 25)]
            assert all(0.005 <= delay <= 300.001 for delay in found)
            assert all(later >= earlier - 1e-4 for earlier, later in pairwise(found))

        run(story())

    def test_items_that_fail_together_do_not_come_back_together(self):
        async def story():
            numbers = iter(range(100))
            q = WorkQueue(random=lambda: next(numbers) / 100)
            for item in range(10):
                q.add_rate_limited(item)
            moments = set()
            for _ in range(10):
                await q.get()
                moments.add(asyncio.get_running_loop().time())
            assert len(moments) == 10

        run(story())

    def test_forget_makes_the_next_failure_the_first(self):
        async def story():
            q = queue()
            _ = [delay async for delay in self.delays(q, 8)]
            q.forget("a")
            assert q.retries("a") == 0
            assert [delay async for delay in self.delays(q, 1)] == pytest.approx([0.005], rel=1e-3)

        run(story())

    def test_forget_drops_a_retry_that_is_due_and_nothing_that_was_asked_for_otherwise(self):
        async def story():
            q = queue()
            q.add_rate_limited("a")
            q.add_rate_limited("b")
            q.add_after("b", 50)
            q.forget("a")
            q.forget("b")
            assert await take(q, within=49) is None
            assert await take(q, within=2) == "b"

        run(story())

    def test_one_item_that_fails_slows_no_other(self):
        async def story():
            q = queue()
            _ = [delay async for delay in self.delays(q, 15)]
            q.add_rate_limited("b")
            assert await take(q, within=0.006) == "b"

        run(story())

    def test_the_server_s_word_on_when_to_come_again_is_kept(self):
        async def story():
            q = queue()
            q.add_rate_limited("a", at_least=30)
            assert await take(q, within=29.9) is None
            assert await take(q, within=4) == "a"

        run(story())

    def test_items_that_the_server_sent_away_together_do_not_come_back_together(self):
        async def story():
            numbers = iter(range(100))
            q = WorkQueue(random=lambda: next(numbers) / 100)
            for item in range(10):
                q.add_rate_limited(item, at_least=30)
            moments = set()
            for _ in range(10):
                await q.get()
                moments.add(round(asyncio.get_running_loop().time(), 3))
            assert len(moments) == 10
            assert min(moments) >= 30

        run(story())

    def test_taken_for_another_reason_an_item_needs_its_retry_no_more(self):
        async def story():
            q = queue(first=1)
            q.add_rate_limited("a")  # due at 1
            q.add("a")
            await q.get()
            await asyncio.sleep(2)
            q.done("a")
            assert await take(q, within=100) is None

        run(story())
