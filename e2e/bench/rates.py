"""Rounds of load: every scenario once a round, in a turning order, so that whatever else the machine does meets all alike.

A ratio is formed inside each round and the median of the rounds counts. Beside requests per second stands the processor time
that the proxy spent on a request: it hardly moves when other processes want the cores.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from e2e.bench.load import Load, LoadError, find_wrk, load
from e2e.bench.policies import HOST, Scenario
from e2e.bench.world import Proxy, World, running_proxy, running_world

Progress = Callable[[str], None]
ENDURING = 10
"""Seconds of load between two looks at how much it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    load: Load
    cpu_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`ratio` is requests per second, `cpu_ratio` processor time saved or spent: both 1 for no policy, less is worse."""

    scenario: Scenario
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    ratio: float
    cpu_ratio: float
    p50_ratio: float
    started_ms: float
    resident_mb: float

    @property
    def missed(self) -> tuple[str, ...]:
        """Where only requests per second say so, somebody else had the core: the processor time would have grown too."""
        slow = self.scenario.p50 is not None and self.p50_ratio > self.scenario.p50
        few = self.scenario.target is not None and max(self.ratio, self.cpu_ratio) < self.scenario.target
        said = (
            f"{self.ratio:.2f} of no policy" if few else "",
            f"p50 {self.p50_ratio:.1f} times as long as without a policy" if slow else "",
        )
        return tuple(each for each in said if each)


async def measure(directory: Path, scenarios: Sequence[Scenario], *, rounds: int, seconds: int, progress: Progress) -> list[Rate]:
    wrk = find_wrk()
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_world(directory))
        proxies = [await stack.enter_async_context(running_proxy(scenario, world)) for scenario in scenarios]
        # What Envoy needs with its policy and no traffic.
        resident = {proxy.scenario.name: proxy.resident_mb() for proxy in proxies}
        for proxy in proxies:
            await sample(wrk, proxy, world, 1)
        samples: dict[str, list[Sample]] = {proxy.scenario.name: [] for proxy in proxies}
        for number in range(rounds):
            turn = number % len(proxies)
            for proxy in [*proxies[turn:], *proxies[:turn]]:
                progress(f"round {number + 1} of {rounds}: {proxy.scenario.title}")
                samples[proxy.scenario.name].append(await sample(wrk, proxy, world, seconds))
    return [rate(proxy, samples, resident[proxy.scenario.name]) for proxy in proxies]


async def endure(directory: Path, scenario: Scenario, requests: int, progress: Progress) -> int:
    """So many requests or some more, how many. Raises LoadError where one of them fails."""
    wrk, done = find_wrk(), 0
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(running_world(directory))
        proxy = await stack.enter_async_context(running_proxy(scenario, world))
        while done < requests:
            progress(f"{done} of {requests}: {scenario.title}")
            done += (await sample(wrk, proxy, world, ENDURING)).load.requests
    return done


async def sample(wrk: str, proxy: Proxy, world: World, seconds: int) -> Sample:
    tls = proxy.scenario.tls
    before = proxy.cpu_seconds()
    done = await load(wrk, world.directory, dial=proxy.dial, host=HOST, port=world.upstream.port(tls=tls), tls=tls, seconds=seconds)
    spent = proxy.cpu_seconds() - before
    # Without a policy nothing is done to a request; what is passed through is not even seen as one.
    if done.requests and proxy.scenario.profiles and (acted := actions_of_last(proxy.log)) != proxy.scenario.acts:
        raise LoadError(f"{proxy.scenario.title}: {acted} changes were made to a request, not {proxy.scenario.acts}")
    # Envoy appends: what earlier rounds wrote need not fill the disk.
    proxy.log.write_bytes(b"")
    return Sample(load=done, cpu_us=spent / done.requests * 1e6)


def actions_of_last(log: Path) -> int:
    """How many changes the last request in the access log has met; between stand lines about connections and tunnels, and at the end
    requests that wrk left unanswered."""
    with log.open("rb") as lines:
        lines.seek(max(0, log.stat().st_size - 64_000))
        requests = [line for line in lines.read().splitlines()[1:-1] if b'"acted"' in line and b'"method":"CONNECT"' not in line]
    last = json.loads([line for line in requests if b'"status":200' in line][-1])
    decided = (last.get("decided") or {}).get("acted", "")
    return len(json.loads(last["acted"] or "{}")) + len(decided.splitlines())


def rate(proxy: Proxy, samples: dict[str, list[Sample]], resident: float) -> Rate:
    own, base = samples[proxy.scenario.name], samples[proxy.scenario.against]
    pairs = list(zip(own, base, strict=True))
    return Rate(
        scenario=proxy.scenario,
        per_second=median(one.load.per_second for one in own),
        p50_ms=median(one.load.p50_ms for one in own),
        p99_ms=median(one.load.p99_ms for one in own),
        cpu_us=median(one.cpu_us for one in own),
        ratio=median(one.load.per_second / other.load.per_second for one, other in pairs),
        cpu_ratio=median(other.cpu_us / one.cpu_us for one, other in pairs),
        p50_ratio=median(one.load.p50_ms / other.load.p50_ms for one, other in pairs),
        started_ms=proxy.started_ms,
        resident_mb=resident,
    )
