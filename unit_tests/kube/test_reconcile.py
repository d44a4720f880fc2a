"""The reconcile loop by example; `test_reconcile_law.py` tries generated sequences of adds and failures."""

import asyncio
import logging
from itertools import pairwise

import pytest

from kube.budget import RetryBudget
from kube.errors import AlreadyExists, Conflict, Forbidden, NotFound, Throttled, Unavailable
from kube.objects import Key
from kube.reconcile import Controller, Result, TerminalError
from kube.waiting import Priority
from kube.workqueue import WorkQueue
from unit_tests.kube.virtual import run

KEY = Key("team-a", "web")
SECRET = "hunter2"


class Counter:
    """A reconcile function that does what it is told, attempt by attempt, and notes when and what."""

    def __init__(self, *script):
        self.script, self.attempts, self.cancelled = list(script), [], []

    async def __call__(self, key):
        self.attempts.append((key, round(asyncio.get_running_loop().time(), 3)))
        step = self.script.pop(0) if self.script else Result()
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, Result):
            return step
        try:
            await asyncio.sleep(step)
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        return Result()

    @property
    def moments(self):
        return [moment for _, moment in self.attempts]


class Observer:
    def __init__(self):
        self.told = []

    def opened(self, workers):
        self.told.append(("opened", workers))

    def begun(self):
        self.told.append("begun")

    def ended(self, outcome, seconds):
        self.told.append((str(outcome), round(seconds, 3)))


async def running(reconcile, *keys, within=1000.0, q=None, before=None, **settings):
    """Everything that happens within that time."""
    q = q or WorkQueue(random=lambda: 0.0)
    controller = Controller("webs", reconcile, q, **{"timeout": 30, **settings})
    for key in keys:
        q.add(key)
    task = asyncio.ensure_future(controller.run())
    if before:
        before(q)
    await asyncio.sleep(within)
    q.shut_down(drop=True)
    await task
    return q


class TestWhatComesNext:
    def test_success_is_the_end_of_it(self):
        work = Counter()
        q = run(running(work, KEY))
        assert work.attempts == [(KEY, 0)]
        assert q.retries(KEY) == 0

    def test_it_comes_again_when_the_result_says(self):
        work = Counter(Result(requeue_after=60), Result(requeue_after=120))
        run(running(work, KEY))
        assert work.moments == [0, 60, 180]

    @pytest.mark.parametrize("seconds", [0, -5])
    def test_a_moment_that_has_passed_makes_no_loop_without_rest(self, seconds):
        work = Counter(*[Result(requeue_after=seconds)] * 3)
        run(running(work, KEY))
        assert work.moments == [0, 0.01, 0.02, 0.03]

    @pytest.mark.parametrize("error", [ValueError(), Unavailable("away"), Forbidden("no"), Conflict("changed"), NotFound("gone")])
    def test_a_failure_is_tried_again_with_growing_delays(self, error):
        work = Counter(*[error] * 5)
        run(running(work, KEY))
        assert work.moments == pytest.approx([0, 0.005, 0.015, 0.035, 0.075, 0.155], abs=1e-3)

    def test_after_a_success_the_next_failure_counts_as_the_first(self):
        work = Counter(ValueError(), ValueError(), Result(requeue_after=10), ValueError())
        run(running(work, KEY))
        assert work.moments == pytest.approx([0, 0.005, 0.015, 10.015, 10.02], abs=1e-3)

    def test_what_was_too_soon_to_try_is_no_success_and_delays_go_on_growing(self):
        work = Counter(*[ValueError(), Result(requeue_after=0.1, tried=False)] * 10)
        q = run(running(work, KEY))
        between = [later - earlier for earlier, later in pairwise(work.moments)]
        assert between[1::2] == pytest.approx([0.1] * 10, abs=1e-3)
        assert between[::2] == pytest.approx([0.005 * 2**failed for failed in range(10)], abs=1e-3)
        assert q.retries(KEY) == 0

    def test_what_was_too_soon_to_try_comes_again_also_where_nothing_had_failed(self):
        work = Counter(Result(requeue_after=7, tried=False))
        run(running(work, KEY))
        assert work.moments == [0, 7]

    def test_what_was_too_soon_to_try_must_say_when_it_is_not(self):
        with pytest.raises(ValueError, match="must say when"):
            Result(tried=False)

    def test_what_was_too_soon_to_try_is_a_retry_and_has_to_wait_for_one_like_any_other(self):
        work = Counter(ValueError(), Result(requeue_after=1, tried=False))
        q = WorkQueue(random=lambda: 0.0, budget=RetryBudget(per_second=0.1, burst=1))
        run(running(work, KEY, q=q))
        assert work.moments[1] == pytest.approx(0.005, abs=1e-3)
        assert work.moments[2] >= 10

    def test_a_success_before_a_pending_retry_makes_that_retry_needless(self):
        work = Counter(*[ValueError()] * 12, Result())
        run(running(work, KEY, before=lambda q: asyncio.get_running_loop().call_at(11, q.add, KEY)))
        assert work.moments[-2:] == pytest.approx([10.235, 11], abs=1e-3)

    def test_a_terminal_error_is_not_tried_again_until_somebody_adds_the_key(self):
        work = Counter(TerminalError("the class names no gateway"))
        run(running(work, KEY, before=lambda q: asyncio.get_running_loop().call_at(500, q.add, KEY)))
        assert work.moments == [0, 500]

    def test_a_terminal_error_also_ends_the_retries_of_what_failed_before(self):
        work = Counter(*[ValueError()] * 11, TerminalError("no"))
        run(running(work, KEY, before=lambda q: asyncio.get_running_loop().call_at(6, q.add, KEY)))
        assert work.moments[-1] == 6

    def test_after_a_terminal_error_the_next_failure_counts_as_the_first(self):
        work = Counter(*[ValueError()] * 5, TerminalError("no"), ValueError())
        run(running(work, KEY, before=lambda q: asyncio.get_running_loop().call_at(500, q.add, KEY)))
        assert work.moments[-2:] == [500, 500.005]

    def test_what_the_server_says_of_when_to_come_again_is_kept(self):
        work = Counter(Throttled("slow down", retry_after=30), Throttled("slow down", retry_after=1))
        run(running(work, KEY))
        assert work.moments == [0, 30, 31]

    def test_an_error_alone_in_a_group_is_that_error(self):
        work = Counter(ExceptionGroup("several", [ExceptionGroup("of them", [Throttled("slow down", retry_after=30)])]))
        run(running(work, KEY))
        assert work.moments == [0, 30]

    def test_what_takes_too_long_is_cancelled_and_tried_again(self):
        work = Counter(1000)
        run(running(work, KEY, timeout=30))
        assert work.cancelled == [KEY]
        assert work.moments == [0, 30.005]

    def test_a_timeout_of_the_work_s_own_is_an_error_like_any_other(self, caplog):
        work = Counter(TimeoutError(SECRET))
        run(running(work, KEY))
        assert "TimeoutError" in caplog.text
        assert "no end after" not in caplog.text

    def test_a_key_of_a_cold_start_that_fails_stays_behind_edits(self):
        served = []

        async def work(key):
            served.append(key)
            if key == "first" and served.count("first") == 1:
                raise ValueError
            await asyncio.sleep(1)
            return Result()

        q = WorkQueue(random=lambda: 0.0)
        q_adds = [("first", Priority.LOW), ("second", Priority.LOW)]

        async def story():
            for key, priority in q_adds:
                q.add(key, priority=priority)
            await running(work, q=q, before=lambda q: asyncio.get_running_loop().call_at(0.5, q.add, "edit"))

        run(story())
        assert served == ["first", "second", "edit", "first"]


class TestWorkers:
    def test_as_many_keys_as_there_are_workers_are_in_work_at_once(self):
        busy, most = set(), []

        async def work(key):
            busy.add(key)
            most.append(len(busy))
            await asyncio.sleep(1)
            busy.discard(key)
            return Result()

        run(running(work, *range(20), workers=4))
        assert max(most) == 4

    def test_a_key_is_with_one_worker_at_most(self):
        busy, broken = set(), []

        async def work(key):
            if key in busy:
                broken.append(key)
            busy.add(key)
            await asyncio.sleep(1)
            busy.discard(key)
            return Result()

        def adds(q):
            for moment in range(100):
                asyncio.get_running_loop().call_at(moment / 4, q.add, KEY)

        run(running(work, KEY, workers=8, before=adds))
        assert broken == []

    def test_a_cancellation_that_nobody_asked_for_ends_no_worker(self):
        work = Counter(asyncio.CancelledError(), asyncio.CancelledError())
        run(running(work, KEY, workers=1))
        assert len(work.attempts) == 3

    def test_one_key_that_always_fails_delays_no_other(self):
        seen = {}

        async def work(key):
            if key == "bad":
                raise ValueError
            seen[key] = asyncio.get_running_loop().time()
            return Result()

        def adds(q):
            for number in range(50):
                asyncio.get_running_loop().call_at(number, q.add, number)

        run(running(work, "bad", before=adds))
        assert all(moment - number < 0.01 for number, moment in seen.items())
        assert len(seen) == 50


class TestEnding:
    async def shut_down_at(self, moment, work, *keys, **settings):
        q = WorkQueue(random=lambda: 0.0)
        for key in keys:
            q.add(key)
        loop = asyncio.get_running_loop()
        loop.call_at(moment, lambda: q.shut_down(drop=settings.pop("drop", True)))
        await Controller("webs", work, q, **{"timeout": 30, "workers": 2, "grace": 5, **settings}).run()
        return loop.time(), q

    def test_those_in_work_may_finish_and_nothing_else_is_taken(self):
        work = Counter(4, 4, 4, 4)
        ended, _ = run(self.shut_down_at(1, work, "a", "b", "c", "d"))
        assert (ended, work.cancelled) == (4, [])
        assert [key for key, _ in work.attempts] == ["a", "b"]

    def test_who_is_not_done_in_time_is_cancelled(self, caplog):
        work = Counter(4, 1000)
        ended, q = run(self.shut_down_at(1, work, "a", "b", timeout=2000))
        assert (ended, work.cancelled) == (6, ["b"])
        assert q.statistics().processing == 0
        assert "stopped before 1 of its keys" in caplog.text

    def test_idle_it_ends_at_once(self):
        assert run(self.shut_down_at(1, Counter()))[0] == 1

    def test_cancelled_it_leaves_no_task_and_its_keys_wait_again(self):
        work = Counter(1000, 1000)

        async def story():
            q = WorkQueue(random=lambda: 0.0)
            for key in "abc":
                q.add(key)
            task = asyncio.ensure_future(Controller("webs", work, q, workers=2, timeout=2000).run())
            await asyncio.sleep(3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            found = q.statistics()
            assert (found.processing, found.depth) == (0, 3)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            again = Counter()
            await running(again, q=q)
            return [key for key, _ in again.attempts]

        assert sorted(run(story())) == ["a", "b", "c"]


class TestWhatIsSaid:
    def records(self, caplog):
        return [record for record in caplog.records if record.name == "kube.reconcile"]

    def test_an_unexpected_error_is_told_with_its_place_and_without_what_it_holds(self, caplog):
        async def work(key):
            try:
                {}[SECRET]
            except KeyError as error:
                raise ValueError(f"bad {SECRET}") from error

        run(running(work, KEY, within=0.001))
        (record,) = self.records(caplog)
        assert (record.levelname, record.controller, record.namespace, record.object) == ("ERROR", "webs", "team-a", "web")
        text = logging.Formatter().format(record)
        assert SECRET not in text
        assert all(part in text for part in ("ValueError", "KeyError", "test_reconcile.py", "in work"))

    def test_a_group_of_errors_is_told_without_what_they_hold(self, caplog):
        run(running(Counter(ExceptionGroup(SECRET, [ValueError(SECRET), KeyError(SECRET)])), KEY, within=0.001))
        text = logging.Formatter().format(self.records(caplog)[0])
        assert SECRET not in text
        assert all(part in text for part in ("ExceptionGroup", "ValueError", "KeyError"))

    def test_errors_that_are_each_other_s_cause_are_told_too(self, caplog):
        first, second = ValueError(), KeyError()
        first.__cause__, second.__cause__ = second, first
        run(running(Counter(first), KEY, within=0.001))
        assert "ValueError" in self.records(caplog)[0].getMessage()

    def test_what_the_api_server_said_is_one_line_without_traceback(self, caplog):
        run(running(Counter(Forbidden("patch securityprofiles team-a/web: 403")), KEY, within=0.001))
        (record,) = self.records(caplog)
        assert record.levelname == "WARNING"
        assert record.error == "Forbidden: patch securityprofiles team-a/web: 403"
        assert record.exc_info is None

    @pytest.mark.parametrize("error", [Conflict("changed"), NotFound("gone"), AlreadyExists("there")])
    def test_a_race_makes_no_noise(self, caplog, error):
        run(running(Counter(error, error), KEY))
        assert [record for record in self.records(caplog) if record.levelno > logging.DEBUG] == []

    def test_a_race_that_is_lost_every_time_is_told(self, caplog):
        run(running(Counter(*[Conflict("changed")] * 9), KEY))
        assert [record.levelname for record in self.records(caplog)][-1] == "WARNING"

    def test_a_terminal_error_is_told_once_until_something_else_happens(self, caplog):
        said = TerminalError("the class names no gateway")
        other = TerminalError("the class is gone")

        def adds(q):
            for moment in (10, 20, 30, 40, 50):
                asyncio.get_running_loop().call_at(moment, q.add, KEY)

        run(running(Counter(said, said, other, Result(), other, other), KEY, before=adds))
        assert [record.getMessage().partition(": ")[2] for record in self.records(caplog)] == [str(said), str(other), str(other)]

    def test_a_terminal_error_is_told_anew_after_another_failure(self, caplog):
        said = TerminalError("the class names no gateway")
        run(running(Counter(said, ValueError(), said), KEY, before=lambda q: asyncio.get_running_loop().call_at(10, q.add, KEY)))
        assert [said.args[0] in record.getMessage() for record in self.records(caplog)] == [True, False, True]

    def test_overdue_work_is_told_with_the_place_where_it_hung(self, caplog):
        async def hangs(key):
            await asyncio.sleep(1000)

        run(running(hangs, KEY, within=35, timeout=30))
        text = logging.Formatter().format(self.records(caplog)[0])
        assert "no end after 30 s" in text
        assert "in hangs" in text

    def test_a_key_that_is_no_object_s_is_told_as_it_is(self, caplog):
        run(running(Counter(ValueError()), "everything", within=0.001))
        assert self.records(caplog)[0].object == "everything"

    def test_every_attempt_is_told_to_whoever_counts(self):
        script = (2, ValueError(), Result(requeue_after=1), TerminalError("no"), Conflict("changed"), 1000)
        observer = Observer()

        def adds(q):
            for moment in (10, 20):
                asyncio.get_running_loop().call_at(moment, q.add, KEY)

        run(running(Counter(*script), KEY, before=adds, workers=1, timeout=7, observer=observer, within=100))
        ends = [("success", 2), ("error", 0), ("requeue_after", 0), ("terminal", 0), ("requeue", 0), ("error", 7), ("success", 0)]
        assert observer.told == [("opened", 1), *[each for end in ends for each in ("begun", end)]]
