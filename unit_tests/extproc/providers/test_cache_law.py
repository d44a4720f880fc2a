"""The memory of a provider against a naive reading of what it promises, whatever is asked, refused and waited for."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.providers.cache import CachedProvider
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError, ProviderRequest
from unit_tests.extproc.providers.asks import Counted, ask
from unit_tests.extproc.providers.scripted import Says, Scripted
from unit_tests.kube.virtual import run

TTL, MOST, HOLD, SETTLE, SKEW = 100.0, 3, 1.0, 10.0, 30.0
NAMES = ["a", "b", "c", "d", "e", ""]
SAYS = st.builds(Says, life=st.sampled_from([None, 1.0, 10.0, 60.0, 200.0])) | st.builds(
    Says, failure=st.sampled_from([Failure.STATUS, Failure.TIMEOUT])
)
WAITS = st.sampled_from([0.0, 0.1, 0.9, 1.0, 5.0, 7.7, 8.0, 10.0, 30.0, 80.0, 91.0, 100.0])


@dataclass
class Entry:
    said: object
    fetched: float
    until: float
    anew: float


@dataclass
class Naive:
    """Entries by name, the most recently used last."""

    entries: dict[str, Entry] = field(default_factory=dict)
    calls: int = 0

    def look(self, name: str, now: float) -> Entry | None:
        entry = self.entries.pop(name, None)
        if entry is None or now >= entry.until:
            return None
        self.entries[name] = entry
        return entry

    def ask(self, name: str, now: float, says: Says) -> object:
        entry = self.look(name, now)
        if entry is None:
            return self.fetch(name, now, says)
        if now >= entry.anew:
            self.fetch(name, now, says)
        return entry.said

    def fetch(self, name: str, now: float, says: Says) -> object:
        self.calls += 1
        said: object = says.failure or self.calls
        before = self.entries.pop(name, None)
        if says.failure and before and not isinstance(before.said, Failure):
            self.put(name, Entry(before.said, before.fetched, before.until, now + HOLD))
        elif says.failure:
            self.put(name, Entry(said, now, now + HOLD, now + HOLD))
        elif name:
            until = now + TTL
            if says.life is not None:
                end = now + says.life
                until = min(until, end - min(SKEW, (end - now) / 5))
            self.put(name, Entry(said, now, until, until - 0.1 * (until - now)))
        return said

    def put(self, name: str, entry: Entry) -> None:
        self.entries[name] = entry
        while len(self.entries) > MOST:
            del self.entries[next(iter(self.entries))]

    def refuse(self, name: str, now: float, said: object) -> bool:
        entry = self.look(name, now)
        if entry is None or isinstance(entry.said, Failure) or entry.said != said or now - entry.fetched < SETTLE:
            return False
        del self.entries[name]
        return True


STEP = (
    st.tuples(st.just("ask"), st.sampled_from(NAMES), SAYS)
    | st.tuples(st.just("refuse"), st.sampled_from(NAMES), WAITS)
    | st.tuples(st.just("wait"), st.just(""), WAITS)
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_one_after_the_other_every_answer_and_every_call_is_what_a_naive_memory_says(steps: list[tuple[str, str, object]]) -> None:
    run(compare(steps))


async def compare(steps: list[tuple[str, str, object]]) -> None:
    loop, naive, scripted = asyncio.get_running_loop(), Naive(), Scripted()
    given_last: dict[str, ProviderAnswer] = {}
    async with CachedProvider(scripted, observer=Counted(), ttl=TTL, most=MOST, hold=HOLD, settle=SETTLE, skew=SKEW) as cache:
        for verb, name, detail in steps:
            if isinstance(detail, Says):
                scripted.says = lambda question, nth, says=detail: says  # type: ignore[misc]
                expected = naive.ask(name, loop.time(), detail)
                assert await said(cache, name, given_last) == expected
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert len(scripted.calls) == naive.calls
                assert cache.entries <= MOST
            elif verb == "wait":
                await asyncio.sleep(float(str(detail)))
            elif name in given_last:
                answer = given_last[name]
                assert cache.invalidate(ask(resource_id=name), answer) == naive.refuse(name, loop.time(), number(answer))


async def said(cache: CachedProvider, name: str, given_last: dict[str, ProviderAnswer]) -> object:
    try:
        answer = await cache.fetch(ask(resource_id=name), deadline=5)
    except ProviderError as error:
        return error.reason
    given_last[name] = answer
    assert answer.values["apiKey"].startswith(f"openai/{name}/")
    return number(answer)


def number(answer: ProviderAnswer) -> int:
    """Which call it came from."""
    return int(answer.values["apiKey"].rpartition("#")[2])


@dataclass(frozen=True)
class Caller:
    start: float
    name: str
    deadline: float
    leaves: float | None


SECONDS = st.floats(0, 4).map(lambda x: round(x, 2))
CALLERS = st.builds(
    Caller, start=SECONDS, name=st.sampled_from(NAMES), deadline=SECONDS.map(lambda x: x + 0.01), leaves=st.none() | SECONDS
)


@dataclass
class Busy:
    """A provider that knows how many ask it the same at a time."""

    scripted: Scripted
    now: Counter[str] = field(default_factory=Counter)
    most: int = 0

    async def fetch(self, question: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        self.now[question.resource_id] += 1
        self.most = max(self.most, *self.now.values())
        try:
            return await self.scripted.fetch(question, deadline=deadline)
        finally:
            self.now[question.resource_id] -= 1


@settings(max_examples=200, deadline=None)
@given(callers=st.lists(CALLERS, max_size=30), delays=st.lists(st.floats(0, 3), min_size=1, max_size=5), failing=st.integers(0, 3))
def test_side_by_side_nobody_asks_twice_at_a_time_and_each_gets_its_own_in_time(
    callers: list[Caller], delays: list[float], failing: int
) -> None:
    def says(question: ProviderRequest, nth: int) -> Says:
        return Says(delay=delays[nth % len(delays)], failure=Failure.STATUS if failing and nth % failing == 0 else None)

    async def asking() -> None:
        busy = Busy(Scripted(says))
        async with CachedProvider(busy, observer=Counted(), timeout=2.0) as cache, asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(one(cache, caller))
        assert busy.most <= 1

    run(asking())


async def one(cache: CachedProvider, caller: Caller) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(caller.start)
    began = loop.time()
    try:
        async with asyncio.timeout(caller.leaves):
            answer = await cache.fetch(ask(resource_id=caller.name), deadline=caller.deadline)
        assert answer.values["apiKey"].startswith(f"openai/{caller.name}/")
    except ProviderError:
        pass
    except TimeoutError:
        assert caller.leaves is not None
    assert loop.time() - began <= min(caller.deadline, 99 if caller.leaves is None else caller.leaves) + 0.001
