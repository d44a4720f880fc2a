"""F10, F11 and F12 of the reliability goals: leaders are killed, cut off, blocked and released, by clocks that nobody can trust.

Whatever happens, no write of one leader may act while, or after, another leader writes; and the next one leads soon.
"""

import random
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from kube.election import CLOCK_RATE, ElectionSettings
from unit_tests.kube.lease_world import ApiServer, Process, overlaps
from unit_tests.kube.machines import Machine, World

SOON, AT_ONCE = 20.0, 3.0
HOUR = 3600.0
REPLICAS = 3
WAYS = ("killed", "cut off", "blocked", "released")


@dataclass
class Clocks:
    """How wrong the clocks of each new machine are."""

    rates: tuple[float, ...] = (1.0,)
    walls: tuple[float, ...] = (0.0,)


class Drill:
    """Three replicas, of which a new one starts whenever one has ended."""

    def __init__(self, seed, clocks=None, settings=None, longest_write=None):
        self.source = random.Random(seed)
        self.world, self.clocks, self.settings = World(), clocks or Clocks(), settings or ElectionSettings()
        self.server = ApiServer(self.world, self.source)
        self.longest_write = self.settings.write_deadline if longest_write is None else longest_write
        self.all, self.number = [], 0
        for _ in range(REPLICAS):
            self.start()

    def start(self):
        self.number += 1
        rate, wall = self.source.choice(self.clocks.rates), self.source.choice(self.clocks.walls)
        machine = Machine(self.world, rate=rate, begin=self.source.uniform(0, 1e6), wall=wall)
        process = Process(f"replica-{self.number}", machine, self.server, self.settings, self.source, self.longest_write)
        machine.start(process.live())
        self.all.append(process)
        return process

    @property
    def alive(self):
        return [process for process in self.all if not process.machine.dead and process.ended is None]

    @property
    def leader(self):
        """Who says so and is not in trouble."""
        for process in self.alive:
            machine = process.machine
            if process.observed[-1] and machine.reachable and machine.blocked_until <= self.world.time:
                return process
        return None

    def replenish(self):
        """A process that ended is gone from its machine; a new one takes its place."""
        for process in self.all:
            if process.ended and not process.machine.dead:
                process.machine.kill()
        while len(self.alive) < REPLICAS:
            self.start()

    def until_led(self, within=10 * SOON):
        """Seconds until somebody begins to lead."""
        began = self.world.time
        self.world.run(began + within, while_=lambda: not any(p.terms and p.terms[-1] >= began for p in self.alive))
        assert self.world.time < began + within, f"nobody leads after {within} s"
        return self.world.time - began

    def trouble(self, kind):
        """The leader is in trouble; how long until another leads."""
        while (leader := self.leader) is None:
            self.until_led()
        if kind == "killed":
            leader.machine.kill()
        elif kind == "cut off":
            leader.machine.cut_off(self.source.uniform(16, 60) / leader.machine.rate)
        elif kind == "blocked":
            # By its own clock: else one that runs slowly is back before it is too late, and leads on.
            leader.machine.block(self.source.uniform(12, 40) / leader.machine.rate)
        else:
            leader.machine.loop.call_soon(leader.stop.set)
        return self.until_led()

    def settle(self):
        """Those in trouble come back; for a while all is well."""
        self.world.run(self.world.time + self.source.uniform(3, 12))
        self.replenish()
        self.world.run(self.world.time + self.source.uniform(0, 20))


def hand_over(drill, times, kinds):
    """Each kind's longest time without a leader."""
    drill.until_led(SOON)
    longest = dict.fromkeys(kinds, 0.0)
    for _ in range(times):
        drill.settle()
        kind = drill.source.choice(kinds)
        longest[kind] = max(longest[kind], drill.trouble(kind))
    drill.settle()
    return longest


@contextmanager
def drill_of(seed, **more):
    drill = Drill(seed, **more)
    try:
        yield drill
        assert drill.world.trouble == []
    finally:
        drill.world.close()


@pytest.mark.parametrize("seed", range(4))
def test_fifty_hand_overs_and_no_two_leaders_writes_overlap(seed):
    with drill_of(seed) as drill:
        longest = hand_over(drill, 50, WAYS)
        assert overlaps(drill.server.writes) == []
        assert max(longest["killed"], longest["cut off"], longest["blocked"]) <= SOON
        # Who is asked to release first lets the writes in hand end.
        assert longest["released"] <= AT_ONCE + drill.settings.write_deadline
        assert len({write.leader for write in drill.server.writes}) >= 50


@pytest.mark.parametrize("seed", range(2))
def test_once_the_lease_is_released_another_leads_within_three_seconds(seed):
    with drill_of(seed, longest_write=0.05) as drill:
        assert hand_over(drill, 25, ["released"])["released"] <= AT_ONCE
        assert overlaps(drill.server.writes) == []


@pytest.mark.parametrize("seed", range(6))
def test_clocks_that_are_wrong_by_an_hour_and_run_apart_make_no_two_leaders(seed):
    apart = (1.0, CLOCK_RATE) if seed % 2 else (1.0, 1 / CLOCK_RATE)
    with drill_of(seed, clocks=Clocks(rates=apart, walls=(-HOUR, 0.0, HOUR))) as drill:
        longest = hand_over(drill, 25, WAYS)
        assert overlaps(drill.server.writes) == []
        assert max(longest.values()) <= SOON * CLOCK_RATE


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_and_failing_api_server_makes_no_two_leaders(seed):
    with drill_of(seed) as drill:
        drill.server.slow, drill.server.failing = 1.5, 0.2
        hand_over(drill, 20, WAYS)
        assert overlaps(drill.server.writes) == []


@pytest.mark.parametrize("rates", [(1.0,), (1.0, CLOCK_RATE), (1.0, 1 / CLOCK_RATE)])
def test_while_all_is_well_the_leader_stays_and_may_write_whatever_the_clocks_say(rates):
    with drill_of(7, clocks=Clocks(rates=rates, walls=(-HOUR, 0.0, HOUR)), longest_write=0.1) as drill:
        drill.until_led(SOON)
        drill.world.run(HOUR)
        assert sum(bool(process.terms) for process in drill.all) == 1
        began = [write.began for write in drill.server.writes]
        assert max(later - earlier for earlier, later in pairwise(began)) < 2


def test_a_leader_whose_loop_was_blocked_for_twelve_seconds_writes_nothing_more_and_ends():
    with drill_of(3) as drill:
        drill.until_led(SOON)
        drill.world.run(drill.world.time + 30)
        leader, blocked = drill.leader, drill.world.time
        leader.machine.block(12)
        drill.world.run(blocked + 60)
        assert leader.ended == "lost"
        assert max(write.began for write in drill.server.writes if write.leader == leader.name) <= blocked
        assert leader.observed == [False, True, False, False]


def test_a_leader_whose_last_renewal_failed_releases_the_lease_all_the_same():
    with drill_of(5, longest_write=0.05) as drill:
        drill.until_led(SOON)
        drill.world.run(drill.world.time + 30)
        leader, drill.server.failing = drill.leader, 1.0
        drill.world.run(drill.world.time + 2 * drill.settings.retry)
        leader.machine.loop.call_soon(leader.stop.set)
        drill.world.run(drill.world.time + SOON, while_=lambda: leader.observed[-1])
        drill.server.failing = 0.0
        assert drill.until_led() <= AT_ONCE
        assert leader.ended == "released"


@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_fails_two_times_of_three_gets_the_lease_released(seed):
    with drill_of(seed, longest_write=0.05) as drill:
        drill.until_led(SOON)
        drill.world.run(drill.world.time + 30)
        drill.server.slow = 0.01
        leader, drill.server.failing = drill.leader, 0.6
        leader.machine.loop.call_soon(leader.stop.set)
        drill.world.run(drill.world.time + SOON, while_=lambda: leader.ended is None)
        assert leader.ended == "released"
        assert drill.server.lease["spec"]["holderIdentity"] != leader.name


class Reckless(ElectionSettings):
    """Lets a write begin until the leader gives up, however long it takes."""

    def __post_init__(self):
        pass

    @property
    def fence(self):
        return self.renew_deadline


def test_without_a_bound_on_writes_this_drill_finds_leaders_that_overlap():
    found = 0
    for seed in range(4):
        with drill_of(seed, settings=Reckless(write_deadline=10.0)) as drill:
            hand_over(drill, 10, ["cut off"])
            found += len(overlaps(drill.server.writes))
    assert found > 0
