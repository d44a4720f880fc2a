"""One schedule from begin to end, in a namespace, through a proxy and with a controller of its own; out comes what was wrong, or nothing.

While it lasts: nothing is written that is not ours, and no CA is replaced in a Secret that stays. After it: all is as it should be within
`SOON`, then for `QUIET` seconds nothing is written. A controller that ends is started again, as a kubelet would.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import fault_proxy
from e2e.kubernetes.chaos.deeds import Deeds, End
from e2e.kubernetes.chaos.schedule import SECONDS, Schedule
from e2e.kubernetes.faults import laws
from e2e.kubernetes.faults.operator import ALONE, Operator
from e2e.kubernetes.faults.place import Place, Raw, values

SOON = 30.0
QUIET = 2.0
CALLS = 5.0
"""A second at most, in quiet times; without the watches."""
BEAT = 0.1
LONGEST = 1000
LATE = "not as it should be after"


@dataclass(slots=True, kw_only=True)
class Told:
    """`problem` is empty where all laws held. `settled` is how long it took after the last fault."""

    schedule: Schedule
    place: Place
    problem: str = ""
    settled: float = 0.0
    starts: int = 0
    calls: int = 0
    log: str = field(default="", repr=False)


@dataclass(slots=True, kw_only=True)
class Play:
    schedule: Schedule
    deeds: Deeds
    cas: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def steps(self) -> None:
        began, ends = time.monotonic(), list[tuple[float, End]]()
        waiting = list(self.schedule.steps)
        while waiting or (time.monotonic() - began) < SECONDS:
            now = time.monotonic() - began
            while waiting and waiting[0].at <= now:
                self.look()
                if (end := self.deeds.do(waiting.pop(0))) is not None:
                    ends.append(end)
            for each in [each for each in ends if each[0] <= now]:
                ends.remove(each)
                each[1]()
            self.keep_alive()
            time.sleep(BEAT)
        for _, end in ends:
            end()
        self.deeds.faults.clear()

    def keep_alive(self) -> None:
        if not self.deeds.operator.alive:
            self.deeds.operator.start(ready=False)

    def look(self) -> None:
        """A CA belongs to a Secret for as long as that is there."""
        for raw in self.deeds.place.list("secret"):
            found = values(raw).get("ca.crt")
            if found and self.cas.setdefault(raw["metadata"]["uid"], found) != found:
                self.problems.append(f"the CA of {raw['metadata']['name']} was replaced")

    def settle(self) -> float:
        """Seconds until all is as it should be and stays so."""
        began, well_since = time.monotonic(), None
        while True:
            self.keep_alive()
            now, wrong = time.monotonic(), self.wrong()
            well_since = None if wrong else well_since or now
            if well_since and now - well_since >= QUIET / 2:
                self.look()
                return well_since - began
            if now - began > SOON + QUIET:
                self.problems.append(f"{LATE} {SOON:g} s: {'; '.join(wrong)}")
                return now - began
            time.sleep(3 * BEAT)

    def wrong(self) -> list[str]:
        """Who has only just begun is not done, however right everything is."""
        if not self.deeds.operator.replica.ready:
            return ["nobody is ready"]
        try:
            return laws.wrong(self.deeds.place)
        except httpx.HTTPError as error:
            return [type(error).__name__]

    def quiet(self) -> None:
        began = time.monotonic()
        time.sleep(QUIET)
        asked = [each for each in self.deeds.faults.asked() if each.began >= began and each.verb != "watch"]
        written = [f"{each.verb} {each.resource} {each.name}" for each in asked if each.writes and each.resource != "events"]
        if written:
            self.problems.append(f"written in quiet times: {written}")
        if len(asked) > CALLS * QUIET:
            said = [f"{each.verb} {each.resource} {each.name}" for each in asked]
            self.problems.append(f"{len(asked)} calls in {QUIET:g} quiet seconds: {said}")

    def others(self) -> list[Any]:
        return [self.deeds.place.get(*each) for each in BYSTANDERS]


def play(cluster: ControlPlane, kubeconfig: Path, logs: Path, schedule: Schedule, name: str = "") -> Told:
    place = Place.make(cluster, name)
    place.apply(*THEIRS)
    with fault_proxy(cluster, seed=schedule.seed) as faults:
        operator = Operator(cluster, faults.kubeconfig(kubeconfig), logs, place.namespace, *ALONE, "--namespace", place.namespace, *FLAGS)
        deeds = Deeds(place=place, faults=faults, operator=operator)
        found = Play(schedule=schedule, deeds=deeds)
        told = Told(schedule=schedule, place=place)
        try:
            acted(found, told, operator)
        except (AssertionError, OSError, httpx.HTTPError) as error:  # the play itself could not go on
            found.problems.append(f"{type(error).__name__}: {error}"[:LONGEST])
        finally:
            operator.close()
        told.starts, told.log, told.calls = operator.starts, operator.said(), len(faults.asked())
        found.problems += laws.outside(faults.asked())
        if "Traceback" in told.log:
            found.problems.append("a traceback in the log")
        told.problem = "; ".join(dict.fromkeys(found.problems))
    return told


def acted(found: Play, told: Told, operator: Operator) -> None:
    before = found.others()
    for step in found.schedule.begin:
        found.deeds.do(step)
    operator.start()
    found.steps()
    told.settled = found.settle()
    if not found.problems:
        found.quiet()
    if found.others() != before:
        found.problems.append("what is others' was touched")


FLAGS = ("--health-host", "127.0.0.1")
BYSTANDERS = (("policy", "theirs-network-policy"), ("secret", "theirs-egress"), ("configmap", "theirs"))
THEIRS: tuple[Raw, ...] = (
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "theirs-network-policy"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs-egress"}, "data": {}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {}},
)
