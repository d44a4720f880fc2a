"""A control plane with the kustomization applied, and schedules played on it, some at once; at the end a second opinion on all of them.

Each play has its own namespace, proxy and controller, so that one seed's history does not depend on which others are played.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.control_plane import ControlPlane, control_plane
from e2e.cluster.workplace import workplace
from e2e.kubernetes.chaos.play import Told, play
from e2e.kubernetes.chaos.schedule import Schedule
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, install
from e2e.kubernetes.faults.operator import second_opinion


@dataclass(frozen=True, slots=True, kw_only=True)
class Arena:
    cluster: ControlPlane
    kubeconfig: Path
    logs: Path

    def play(self, schedule: Schedule) -> Told:
        """Also asks for a second opinion."""
        told = play(self.cluster, self.kubeconfig, self.logs, schedule)
        if not told.problem:
            self.judge([told])
        told.place.end()
        return told

    def play_all(self, schedules: Iterable[Schedule], at_once: int, seen: Callable[[Told], None]) -> list[Told]:
        def one(schedule: Schedule) -> Told:
            told = play(self.cluster, self.kubeconfig, self.logs, schedule)
            seen(told)
            return told

        with ThreadPoolExecutor(at_once) as pool:
            found = list(pool.map(one, schedules))
        self.judge([told for told in found if not told.problem])
        for told in found:
            told.place.end()
        return found

    def judge(self, plays: list[Told]) -> None:
        """A fresh process must have nothing to do."""
        before = [told.place.versions() for told in plays]
        flags = ("--namespace", plays[0].place.namespace) if len(plays) == 1 else ()
        code = second_opinion(self.cluster, self.logs / f"once-{len(list(self.logs.iterdir()))}.log", *flags)
        for told, versions in zip(plays, before, strict=True):
            if (after := told.place.versions()) != versions:
                changed = sorted(key for key in {*after, *versions} if after.get(key) != versions.get(key))
                told.problem = f"a fresh --once found something to do: {changed}"
            elif code != 0 and len(plays) == 1:
                told.problem = "a fresh --once could not bring all up to date"


@contextmanager
def arena() -> Iterator[Arena]:
    with control_plane() as cluster, workplace("chaos") as logs:
        yield ready(cluster, logs)


def ready(cluster: ControlPlane, logs: Path) -> Arena:
    install(cluster)
    return Arena(cluster=cluster, kubeconfig=cluster.kubeconfig_for(ACCOUNT, NAMESPACE), logs=logs)
