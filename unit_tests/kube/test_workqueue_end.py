"""A queue that is shut down, workers that are cancelled: nothing is lost, and nothing hangs."""

import asyncio

import pytest

from kube.waiting import Priority
from kube.workqueue import ShutDown
from unit_tests.kube.queues import all_of, at, queue, take
from unit_tests.kube.virtual import run


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
