"""The queue by example; `test_workqueue_law.py` compares it with a model under generated sequences."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from kube.waiting import ONE_IN, Priority
from kube.workqueue import ShutDown, WorkQueue
from unit_tests.kube.virtual import run


def queue(**settings):
    return WorkQueue(random=lambda: 0.0, **settings)


async def take(q, within=0.0):
    """The next item, or None where none comes in time."""
    try:
        async with asyncio.timeout(within + 1e-3):
            return await q.get()
    except TimeoutError:
        return None


async def all_of(q):
    found = []
    while (item := await take(q)) is not None:
        found.append(item)
        q.done(item)
    return found


def at():
    return round(asyncio.get_running_loop().time(), 6)


class TestOrder:
    def test_items_come_in_the_order_in_which_they_were_added(self):
        async def story():
            q = queue()
            for item in "abc":
                q.add(item)
            assert await all_of(q) == ["a", "b", "c"]

        run(story())

    def test_an_item_added_twice_while_it_waits_comes_once_and_keeps_its_place(self):
        async def story():
            q = queue()
            for item in "aba":
                q.add(item)
            assert await all_of(q) == ["a", "b"]
            assert q.statistics().adds == 2

        run(story())

    def test_who_waits_first_is_served_first(self):
        async def story():
            q, got = queue(), []

            async def worker(name):
                got.append((name, await q.get()))

            async with asyncio.TaskGroup() as group:
                for name in range(3):
                    group.create_task(worker(name))
                await asyncio.sleep(1)
                for item in "abc":
                    q.add(item)
            assert sorted(got) == [(0, "a"), (1, "b"), (2, "c")]

        run(story())

    def test_a_newcomer_takes_nothing_from_who_waits_already(self):
        async def story():
            q = queue()
            waiting = asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            q.add("a")
            assert await take(q) is None
            assert await waiting == "a"

        run(story())


class TestOneWorkerAKey:
    def test_an_item_in_work_is_given_to_nobody_else(self):
        async def story():
            q = queue()
            q.add("a")
            assert await q.get() == "a"
            q.add("a")
            assert await take(q, within=100) is None

        run(story())

    def test_added_in_work_however_often_it_comes_again_once_after_done(self):
        async def story():
            q = queue()
            q.add("a")
            await q.get()
            for _ in range(3):
                q.add("a")
            q.done("a")
            assert await all_of(q) == ["a"]

        run(story())

    def test_done_without_having_been_taken_means_nothing(self):
        async def story():
            q = queue()
            q.add("a")
            q.done("a")
            q.done("b")
            assert await all_of(q) == ["a"]

        run(story())


class TestPriorities:
    def test_an_edit_does_not_wait_behind_a_cold_start(self):
        async def story():
            q = queue()
            for item in range(10_000):
                q.add(item, priority=Priority.LOW)
            await q.get()
            q.add("edited")
            assert await q.get() == "edited"

        run(story())

    def test_what_waits_with_low_priority_moves_up_when_somebody_edits_it(self):
        async def story():
            q = queue()
            for item in "abc":
                q.add(item, priority=Priority.LOW)
            q.add("c")
            assert await all_of(q) == ["c", "a", "b"]

        run(story())

    def test_an_add_of_low_priority_puts_nothing_back(self):
        async def story():
            q = queue()
            for item in "ab":
                q.add(item)
            q.add("a", priority=Priority.LOW)
            assert await all_of(q) == ["a", "b"]

        run(story())

    def test_edits_without_end_do_not_keep_the_rest_for_ever(self):
        async def story():
            q = queue()
            q.add("start", priority=Priority.LOW)
            q.add(0)
            served = []
            for number in range(1, 50):
                q.add(number)
                served.append(item := await q.get())
                q.done(item)
            assert served.index("start") == ONE_IN - 1

        run(story())

    def test_edits_before_anything_else_waited_do_not_count_against_the_next_edit(self):
        async def story():
            q = queue()
            for number in range(20):
                q.add(number)
                q.done(await q.get())
            q.add("start", priority=Priority.LOW)
            q.add("edit")
            assert await all_of(q) == ["edit", "start"]

        run(story())

    def test_edited_while_in_work_it_comes_again_with_the_higher_priority(self):
        async def story():
            q = queue()
            for item in "ab":
                q.add(item, priority=Priority.LOW)
            assert await q.get() == "a"
            q.add("a", priority=Priority.LOW)
            q.add("a")
            q.done("a")
            assert await all_of(q) == ["a", "b"]

        run(story())

    def test_a_retry_has_the_priority_of_the_attempt_that_failed(self):
        async def story():
            q = queue()
            q.add("a", priority=Priority.LOW)
            await q.get()
            q.add_rate_limited("a")
            q.done("a")
            await asyncio.sleep(1)
            assert q.statistics().depths == {Priority.LOW: 1, Priority.NORMAL: 0}

        run(story())


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


class TestShutDown:
    def test_what_waits_is_still_served_then_get_raises(self):
        async def story():
            q = queue()
            for item in "ab":
                q.add(item)
            q.shut_down()
            q.add("c")
            assert [await q.get(), await q.get()] == ["a", "b"]
            with pytest.raises(ShutDown):
                await q.get()

        run(story())

    def test_what_was_to_come_later_does_not(self):
        async def story():
            q = queue()
            q.add_after("a", 1)
            q.add_rate_limited("b")
            q.shut_down()
            q.add_after("c", 1)
            q.add_rate_limited("d")
            assert q.statistics().delayed == 0
            await asyncio.sleep(10)
            with pytest.raises(ShutDown):
                await q.get()

        run(story())

    def test_who_waits_for_an_item_is_told(self):
        async def story():
            q = queue()
            waiting = [asyncio.ensure_future(q.get()) for _ in range(3)]
            await asyncio.sleep(1)
            q.shut_down()
            assert all(isinstance(each, ShutDown) for each in await asyncio.gather(*waiting, return_exceptions=True))

        run(story())

    def test_an_item_that_was_added_while_in_work_is_served_once_more(self):
        async def story():
            q = queue()
            q.add("a")
            await q.get()
            q.add("a")
            q.shut_down()
            q.done("a")
            assert await q.get() == "a"

        run(story())

    def test_with_drop_nothing_is_served_any_more(self):
        async def story():
            q = queue()
            for item in "abc":
                q.add(item)
            await q.get()
            q.add("a")
            q.shut_down(drop=True)
            q.done("a")
            with pytest.raises(ShutDown):
                await q.get()

        run(story())

    def test_drain_waits_for_those_in_work_and_idle_for_those_that_wait_too(self):
        async def story():
            q, ended = queue(), {}
            q.add("a")
            q.add("b")
            await q.get()

            async def wait(name):
                await getattr(q, name)()
                ended[name] = at()

            async with asyncio.TaskGroup() as group:
                for name in ("drain", "idle"):
                    group.create_task(wait(name))
                await asyncio.sleep(5)
                q.done("a")
                await asyncio.sleep(5)
                assert await q.get() == "b"
                await asyncio.sleep(5)
                q.done("b")
            assert ended == {"drain": 5, "idle": 15}

        run(story())


class TestCancelledWorkers:
    def test_a_worker_cancelled_before_it_gets_anything_takes_nothing_with_it(self):
        async def story():
            q = queue()
            waiting = asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            waiting.cancel()
            await asyncio.sleep(0)
            q.add("a")
            assert await take(q) == "a"

        run(story())

    def test_a_worker_cancelled_in_the_moment_of_getting_gives_the_item_back_in_front(self):
        async def story():
            q = queue()
            waiting = asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            q.add("a")
            q.add("b")
            q.add("a")
            waiting.cancel()
            await asyncio.sleep(0)
            assert q.statistics().processing == 0
            assert await all_of(q) == ["a", "b"]

        run(story())

    def test_given_back_it_has_the_priority_that_it_was_asked_for_meanwhile(self):
        async def story():
            q = queue()
            waiting = asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            q.add("a", priority=Priority.LOW)
            q.add("a")
            waiting.cancel()
            await asyncio.sleep(0)
            assert q.statistics().depths == {Priority.LOW: 0, Priority.NORMAL: 1}

        run(story())

    def test_given_back_after_everything_was_dropped_it_is_dropped_too(self):
        async def story():
            q = queue()
            waiting = asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            q.add("a")
            q.shut_down(drop=True)
            waiting.cancel()
            await asyncio.sleep(0)
            await q.idle()
            with pytest.raises(ShutDown):
                await q.get()

        run(story())

    def test_an_item_added_in_the_moment_of_a_cancellation_goes_to_the_next_who_waits(self):
        async def story():
            q = queue()
            first, second = asyncio.ensure_future(q.get()), asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            first.cancel()
            q.add("a")
            assert await second == "a"

        run(story())

    def test_workers_that_gave_up_waiting_leave_nothing_behind(self):
        async def story():
            q = queue()
            for _ in range(50):
                assert await take(q) is None
            return len(q._getters)

        assert run(story()) == 0

    def test_what_a_cancelled_worker_gives_back_goes_to_the_next_who_waits(self):
        async def story():
            q = queue()
            first, second = asyncio.ensure_future(q.get()), asyncio.ensure_future(q.get())
            await asyncio.sleep(1)
            q.add("a")
            first.cancel()
            assert await second == "a"

        run(story())


class TestStatistics:
    def test_they_count_what_waits_what_is_in_work_and_for_how_long(self):
        async def story():
            q = queue()
            q.add("a")
            q.add("b", priority=Priority.LOW)
            await asyncio.sleep(3)
            await q.get()
            q.add("a")
            q.add_after("c", 60)
            q.add_rate_limited("d", at_least=60)
            await asyncio.sleep(4)
            found = q.statistics()
            assert (found.depth, found.delayed, found.processing) == (2, 2, 1)
            assert (found.adds, found.retries) == (3, 2)
            assert (found.longest_running, found.unfinished, found.oldest_waiting) == pytest.approx((4, 4, 7))
            assert found.depths == {Priority.NORMAL: 1, Priority.LOW: 1}

        run(story())

    def test_another_thread_may_ask_while_something_waits_and_is_in_work(self):
        """Metrics are collected in the threads of their port, which have no event loop."""

        async def story():
            q = queue()
            q.add("a")
            q.add("b")
            await q.get()
            await asyncio.sleep(3)
            with ThreadPoolExecutor() as elsewhere:
                found = elsewhere.submit(q.statistics).result()
            assert (found.longest_running, found.oldest_waiting) == pytest.approx((3, 3))

        run(story())

    def test_they_are_made_without_a_step_in_python_between_one_item_and_the_next(self):
        """A key's hash may be Python's, as a dataclass's is: while it is computed, the loop's thread would change the queue."""

        class Item:
            asked = 0

            def __hash__(self) -> int:
                Item.asked += 1
                return 1

        async def story():
            q = queue()
            items = [Item() for _ in range(3)]
            for item in items:
                q.add(item)
            q.add(Item(), priority=Priority.LOW)
            await q.get()
            q.add(items[0])
            before = Item.asked
            assert q.statistics().depth == 4
            assert Item.asked == before

        run(story())

    def test_what_moves_up_has_waited_since_it_was_first_added(self):
        async def story():
            q = queue()
            q.add("a", priority=Priority.LOW)
            await asyncio.sleep(5)
            q.add("a")
            await asyncio.sleep(3)
            assert q.statistics().oldest_waiting == pytest.approx(8)

        run(story())

    def test_moments_are_told_to_whoever_counts(self):
        told = []

        class Observer:
            def opened(self, statistics):
                told.append(("opened", statistics().depth))

            def __getattr__(self, name):
                return lambda *seconds: told.append((name, *(round(each, 3) for each in seconds)))

        async def story():
            q = queue(observer=Observer())
            q.add("a")
            await asyncio.sleep(2)
            await q.get()
            q.add_after("a", 9)
            await asyncio.sleep(3)
            q.done("a")
            q.done("a")

        run(story())
        assert told == [("opened", 0), ("added",), ("waited", 2), ("retried",), ("worked", 3)]

    def test_nothing_is_kept_of_an_item_that_is_done(self):
        class Item:
            pass

        async def story():
            q, seen = queue(), []
            for _ in range(100):
                item = Item()
                seen.append(weakref.ref(item))
                q.add_after(item, 1000)
                q.add_after(item, 5)
                q.add_rate_limited(item, at_least=2)
                q.add(item, priority=Priority.LOW)
                q.add(item)
            item = None
            await asyncio.sleep(10)
            for _ in range(100):
                item = await q.get()
                q.add(item)
                q.add_rate_limited(item)
                q.forget(item)
                q.done(item)
            for _ in range(100):
                q.done(await q.get())
            item = None
            gc.collect()
            return [ref for ref in seen if ref() is not None], q

        alive, q = run(story())
        assert q.statistics().depth == q.statistics().delayed == 0
        assert alive == []

    def test_asking_again_and_again_for_later_takes_no_more_memory(self):
        async def story():
            q = queue()
            for number in range(20_000):
                q.add_after("a", 50_000 - number)
                q.add_rate_limited("b")
                q.forget("b")
            assert len(q._later._heap) + len(q._to_retry._heap) < 300
            assert q.statistics().delayed == 1
            for item in range(1000):
                q.add_rate_limited(item)
            for item in range(1, 1000):
                q.forget(item)
            assert len(q._to_retry._heap) < 100

        run(story())
