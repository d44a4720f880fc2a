"""The queue by example; `test_workqueue_law.py` compares it with a model under generated sequences."""

import asyncio
import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from kube.waiting import ONE_IN, Priority
from unit_tests.kube.queues import all_of, queue, take
from unit_tests.kube.virtual import run


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
