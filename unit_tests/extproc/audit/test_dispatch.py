"""Events wait in bounded room, go out a few at a time, and none is lost without being counted."""

import asyncio
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.audit.courier import Courier
from extproc.audit.dispatch import PER_RECEIVER, UNDER_WAY, Dispatcher
from extproc.audit.events import events_of
from unit_tests.extproc.audit.outcomes import Seen, hook, resolved
from unit_tests.kube.virtual import run
from unit_tests.policy.profiles import rule


class Receivers:
    """Takes `seconds` by host, answers `status` by host, and remembers how many were under way at once."""

    def __init__(self, seconds=None, status=None):
        self.seconds = seconds or {}
        self.status = status or {}
        self.taken = []
        self.under_way = Counter()
        self.most = Counter()

    async def carry(self, delivery):
        host = delivery.url.host
        self.under_way.update([host, "all"])
        for name in (host, "all"):
            self.most[name] = max(self.most[name], self.under_way[name])
        try:
            await asyncio.sleep(self.seconds.get(host, 0.1))
            self.taken.append((host, asyncio.get_running_loop().time()))
            return self.status.get(host, 200)
        finally:
            self.under_way.subtract([host, "all"])


def event(host="audit.test", *, when=None, body=None):
    given = hook(url=f"https://{host}/", when=when, **({"body": body} if body else {}))
    (found,) = events_of(resolved(rule(audit=[given])))
    return found


def working(receivers, scenario, **bounds):
    """Runs `scenario(dispatcher, observer)` with the service beside it."""

    async def body():
        observer = Seen()
        dispatcher = Dispatcher(Courier(receivers, chance=lambda: 0.5, retried=observer.retried), observer, **bounds)
        service = asyncio.ensure_future(dispatcher.run())
        try:
            await scenario(dispatcher, observer)
        finally:
            service.cancel()
            await asyncio.gather(service, return_exceptions=True)
        return observer

    return run(body())


def test_what_is_told_is_sent():
    receivers = Receivers()

    async def scenario(dispatcher, observer):
        dispatcher.tell(resolved(rule("a", audit=[hook("x"), hook("y")]), rule("b", audit=[hook("z", when="false")])))
        await dispatcher.drain(10)

    observer = working(receivers, scenario)
    assert observer.counts == {"sent": 2, "unwanted": 1}
    assert len(receivers.taken) == 2


def test_a_receiver_gets_few_at_a_time_and_all_together_not_many():
    receivers = Receivers()
    one = [event(f"r{number}.test") for number in range(20)]

    async def scenario(dispatcher, observer):
        for found in one:
            for _ in range(10):
                dispatcher.submit(found)
        await dispatcher.drain(60)

    observer = working(receivers, scenario)
    assert observer.counts == {"sent": 200}
    assert receivers.most["all"] == UNDER_WAY
    assert max(receivers.most[found] for found in receivers.most if found != "all") == PER_RECEIVER


def test_a_dead_receiver_costs_the_others_nothing():
    receivers = Receivers(seconds={"dead.test": 1000.0})
    dead, live = event("dead.test"), event("live.test")

    async def scenario(dispatcher, observer):
        for _ in range(100):
            dispatcher.submit(dead)
        await asyncio.sleep(0.01)
        for _ in range(25):
            dispatcher.submit(live)
        await asyncio.sleep(2)
        assert observer.counts["sent"] == 25

    observer = working(receivers, scenario, capacity=100)
    # A quarter of the room waits for the dead one and four are under way; the rest is dropped, and told.
    assert observer.counts["queue_full"] == 100 - 25 - PER_RECEIVER


def test_what_does_not_fit_is_dropped_and_counted():
    one = event()

    async def scenario(dispatcher, observer):
        for _ in range(30):
            dispatcher.submit(one)
        assert dispatcher.pending == 10
        assert observer.counts["queue_full"] == 20

    assert working(Receivers(), scenario, capacity=10).most_waiting == 10


def test_memory_is_bounded_too():
    one = event()

    async def scenario(dispatcher, observer):
        for _ in range(30):
            dispatcher.submit(one)
        assert dispatcher.pending == 5
        assert observer.counts["queue_full"] == 25

    working(Receivers(), scenario, most_bytes=one.size * 5 + 10)


def test_refusals_are_tried_again_and_then_counted():
    receivers = Receivers(status={"busy.test": 503, "slow.test": 429, "moved.test": 302, "wrong.test": 404, "gone.test": 500})
    hosts = list(receivers.status)

    async def scenario(dispatcher, observer):
        for host in hosts:
            dispatcher.submit(event(host))
        await dispatcher.drain(20)

    observer = working(receivers, scenario)
    assert observer.counts == {"status": 5, "retried": 6}
    tried = Counter(host for host, _ in receivers.taken)
    assert tried == {"busy.test": 3, "slow.test": 3, "gone.test": 3, "moved.test": 1, "wrong.test": 1}
    first, second, third = (time for host, time in receivers.taken if host == "busy.test")
    assert abs(second - first - 0.25) < 0.01
    assert abs(third - second - 0.55) < 0.01


def test_the_end_gives_what_waits_its_time_and_counts_what_is_left():
    receivers = Receivers(seconds={"slow.test": 1.0})
    one = event("slow.test")

    async def scenario(dispatcher, observer):
        for _ in range(20):
            dispatcher.submit(one)
        await dispatcher.drain(2.5)
        dispatcher.submit(one)

    observer = working(receivers, scenario)
    assert observer.counts == {"sent": 8, "shutdown": 13}


def test_a_bug_costs_one_event(monkeypatch):
    receivers = Receivers()
    carry = receivers.carry

    async def broken(delivery):
        if delivery.url.host == "bug.test":
            raise KeyError("s3cret")
        return await carry(delivery)

    receivers.carry = broken
    one, other = event("bug.test"), event("live.test")
    odd = event("odd.test")
    object.__setattr__(odd, "rule", None)

    async def scenario(dispatcher, observer):
        for found in (one, odd, other):
            dispatcher.submit(found)
        await dispatcher.drain(5)

    assert working(receivers, scenario).counts == {"sent": 1, "internal": 2}


HOSTS = ["a.test", "b.test", "dead.test"]
PLANS = {(host, wanted): event(host, when=None if wanted else "false") for host in HOSTS for wanted in (True, False)}
STEPS = st.lists(st.one_of(st.tuples(st.sampled_from(HOSTS), st.booleans()), st.floats(0, 3)), max_size=60)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, capacity=st.integers(1, 20), seconds=st.floats(0, 5))
def test_every_event_is_counted_exactly_once(steps, capacity, seconds):
    receivers = Receivers(seconds={"dead.test": 3.0}, status={"b.test": 500})

    async def scenario(dispatcher, observer):
        for step in steps:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                dispatcher.submit(PLANS[step])
                assert dispatcher.pending <= capacity + UNDER_WAY
        await dispatcher.drain(seconds)

    observer = working(receivers, scenario, capacity=capacity)
    told = sum(not isinstance(step, float) for step in steps)
    assert sum(count for name, count in observer.counts.items() if name != "retried") == told
