"""F13: the controller is killed before and after each of its writes over a template's and a profile's life; the next one brings it to the end.

The proxy stops all writes of a process at the chosen one, before it reaches the API server or after it was done, and then the process is
killed. Which writes there are is found out by a life without crashes: so none is forgotten.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import Asked, FaultProxy, Hang, Rule, Silence, fault_proxy
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE
from e2e.kubernetes.faults import laws
from e2e.kubernetes.faults.life import STAGES
from e2e.kubernetes.faults.operator import ALONE, Operator, second_opinion
from e2e.kubernetes.faults.place import Place, values
from e2e.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

log = logging.getLogger(__name__)

AT_ONCE = 4
PATIENCE = 60.0
SILENCE = 120.0
REST = 0.7
"""Statuses come some time after what they are about."""
STEPS = "sandboxtemplates,networkpolicies,secrets,securityprofiles"
KINDS = {
    "patch sandboxtemplates",
    "create networkpolicies",
    "patch networkpolicies",
    "delete networkpolicies",
    "create secrets",
    "patch secrets",
    "delete secrets",
    "patch securityprofiles/status",
}
FORESTALLED = {"delete secrets"}
"""What the garbage collector may have done first."""
WRITES = "create,update,patch,delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The so many-th write after that stage."""

    stage: str
    number: int
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    step: Step
    committed: bool

    def __str__(self) -> str:
        return f"{self.step.stage}: {'after' if self.committed else 'before'} {self.step.what}"


@dataclass(slots=True, kw_only=True)
class Stage:
    """A place of its own, with a controller of its own that looks after nothing else."""

    cluster: ControlPlane
    faults: FaultProxy
    place: Place
    operator: Operator

    def settled(self) -> None:
        """As it should be, and a while without a write of somebody who is there."""
        well = lambda: self.operator.replica.ready and self.quiet and not laws.wrong(self.place)  # noqa: E731
        until(well, lambda: f"settled: {laws.wrong(self.place)}", PATIENCE)

    @property
    def quiet(self) -> bool:
        now = time.monotonic()
        return all(each.ended and each.ended < now - REST for each in self.writes())

    def writes(self) -> list[Asked]:
        return [each for each in self.faults.asked() if each.writes and each.resource in STEPS.split(",")]

    def ca(self) -> str:
        found = self.place.get("secret", "agent-egress")
        return values(found).get("ca.crt", "") if found else ""


@contextmanager
def stage(cluster: ControlPlane, logs: Path, kubeconfig: Path) -> Iterator[Stage]:
    place = Place.make(cluster)
    with fault_proxy(cluster) as faults:
        flags = (*ALONE, "--namespace", place.namespace)
        operator = Operator(cluster, faults.kubeconfig(kubeconfig), logs, place.namespace, *flags)
        try:
            operator.start()
            yield Stage(cluster=cluster, faults=faults, place=place, operator=operator)
        finally:
            operator.close()


@pytest.fixture(scope="module")
def silenced(ground: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, float]]:
    """F3: watches that stay open and say nothing more, from the module's first test on, for that takes two minutes to be noticed."""
    with stage(ground, tmp_path_factory.mktemp("silenced"), ground.kubeconfig_for(ACCOUNT, NAMESPACE)) as made:
        STAGES["created"](made.place)
        made.settled()
        made.faults.add(Rule(verb="watch", action=Silence()))
        began = time.monotonic()
        STAGES["rotated"](made.place)
        STAGES["narrowed"](made.place)
        yield made, began


def steps(cluster: ControlPlane, logs: Path, kubeconfig: Path) -> list[Step]:
    found: list[Step] = []
    with stage(cluster, logs, kubeconfig) as made:
        for name, change in STAGES.items():
            made.faults.forget()
            change(made.place)
            made.settled()
            found += [Step(stage=name, number=number, what=said(each)) for number, each in enumerate(made.writes())]
    return found


def said(asked: Asked) -> str:
    return f"{asked.verb} {asked.resource}{'/' + asked.subresource if asked.subresource else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """`met`: that write came this time too, and the process was killed at it."""

    trial: Trial
    place: Place
    met: bool


def crash(cluster: ControlPlane, logs: Path, kubeconfig: Path, trial: Trial) -> Crashed:
    met = False
    with stage(cluster, logs, kubeconfig) as made:
        for name, change in STAGES.items():
            if name == trial.step.stage:
                met = killed_at(made, trial, change)
                break
            change(made.place)
            made.settled()
        before = made.ca()
        made.faults.clear()
        made.operator.start()
        made.settled()
        assert laws.outside(made.faults.asked()) == []
        assert made.ca() in (before, "") or not before, f"{trial}: the CA was replaced"
        assert "Traceback" not in made.operator.said(), f"{trial}: {made.operator.said()}"
        return Crashed(trial=trial, place=made.place, met=met)


def killed_at(made: Stage, trial: Trial, change: Callable[[Place], None]) -> bool:
    """Its writes before that one go through, and none after it. Whether that one came: a life may do with fewer than another did, whose
    status was written while its Secret was still being made, or whose Secret the garbage collector was slower to delete.
    """
    made.faults.forget()
    if trial.committed:
        made.faults.add(Rule(verb=WRITES, resource=STEPS, action=Hang(committed=True), skip=trial.step.number, times=1))
    made.faults.add(Rule(verb=WRITES, resource=STEPS, action=Hang(), skip=trial.step.number))
    change(made.place)

    def met() -> bool:
        return any(each.fault and each.answered == trial.committed for each in made.writes())

    until(lambda: met() or (made.quiet and not laws.wrong(made.place)), f"{trial}: that step is reached, or not needed", PATIENCE)
    found = met()
    made.operator.kill()
    return found


@pytest.mark.usefixtures("silenced")
def test_a_life_goes_on_after_a_crash_before_or_after_any_of_its_writes(ground: ControlPlane, tmp_path: Path):
    kubeconfig = ground.kubeconfig_for(ACCOUNT, NAMESPACE)
    found = steps(ground, tmp_path, kubeconfig)
    assert {each.what for each in found} == KINDS
    trials = [Trial(step=step, committed=committed) for step in found for committed in (False, True)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        crashes = list(pool.map(lambda trial: crash(ground, tmp_path, kubeconfig, trial), trials))
    log.info("%d crashes: %s", len(trials), [f"{each.trial}{'' if each.met else ' (not needed)'}" for each in crashes])
    met = {(each.trial.step.what, each.trial.committed) for each in crashes if each.met}
    assert {(what, committed) for what in KINDS - FORESTALLED for committed in (False, True)} <= met
    places = [each.place for each in crashes]
    until(lambda: not any(place.orphans() for place in places), "the garbage collector is done", PATIENCE)
    before = [place.versions() for place in places]
    assert second_opinion(ground, tmp_path / "once.log") == 0
    assert [place.versions() for place in places] == before


def test_watches_that_fall_silent_are_noticed_within_two_minutes(silenced: tuple[Stage, float]):
    """F3. Each begins anew where it was, without a list."""
    made, began = silenced
    made.faults.clear()
    left = SILENCE - (time.monotonic() - began) % SILENCE  # a watch that was noticed before the fault ended has begun another silence
    until(lambda: not laws.wrong(made.place), lambda: f"noticed: {laws.wrong(made.place)}", left + 10)
    log.info("silence noticed within %.0f s", time.monotonic() - began)
    assert made.faults.asked(verb="list") == [each for each in made.faults.asked(verb="list") if each.began < began]
