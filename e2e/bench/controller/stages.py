"""One case on a fresh control plane: cold, edited, the floor, started again.

cold     objects are there, the controller has never run: from its process's start until the last policy, label and Secret
edited   one profile after the other: from the edit's sending until its Secret was written
floor    while no controller runs: the same writes by nobody who thinks (`floor`)
again    nothing has changed since: how many writes
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from controller.settings import Settings
from daemon.kinds import PROFILES
from e2e.bench.controller.cases import NAMESPACE, Case, profile_of
from e2e.bench.controller.load import client_of, fill
from e2e.bench.controller.process import at_rest, lag, metrics, turns, used
from e2e.bench.controller.watching import Watching
from e2e.cluster import ControlPlane, control_plane
from e2e.cluster import Settings as ControlPlaneSettings
from e2e.cluster.audit import Call
from e2e.kubernetes.controller_process import ACCOUNT, Replica, install, running
from e2e.kubernetes.controller_process import NAMESPACE as SYSTEM
from e2e.support.waiting import until
from groyne import clock
from kube.objects import Key

Progress = Callable[[str], None]
USER = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
PATIENCE = 120.0
PATIENCE_EACH = 0.1
PAUSE = 0.5
QUIET = 3.0
"""Seconds in which what has been put off would have come."""
# Ten thousand Secrets are more than etcd takes without being told.
ROOM = ControlPlaneSettings(etcd=("--quota-backend-bytes=8589934592",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    writes: int
    seconds: float
    cpu: float


@dataclass(slots=True, kw_only=True)
class Measured:
    """Seconds since the process's start, by what was last; `writes_again` after a start with nothing changed, `edits` in seconds,
    `lag` the event loop's, from the start to the last edit.
    """

    case: Case
    first: float = 0.0
    done: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    server_cpu: float = 0.0
    megabytes: float = 0.0
    lag: float = 0.0
    edits: list[float] = field(default_factory=list)
    floor: Floor | None = None
    writes_again: list[str] = field(default_factory=list)
    ready_again: float = 0.0

    @property
    def seconds(self) -> float:
        """Until all policies, labels and Secrets; statuses are beside the point."""
        return max(seconds for name, seconds in self.done.items() if name != "statuses")


def measure(case: Case, directory: Path, progress: Progress) -> Measured:
    found = Measured(case=case)
    with control_plane(ROOM) as cluster:
        install(cluster)
        progress(f"{case.title}: writing them")
        fill(cluster, case)
        progress(f"{case.title}: cold")
        began = clock.now()
        with running(cluster, directory / f"{case.name}-cold.log", ready=False) as replica:
            cold(cluster, case, found, replica, began)
            progress(f"{case.title}: edits")
            edited(cluster, case, found)
            found.megabytes = used(replica.process.pid).megabytes
            found.lag = lag(metrics(replica))
        if case.floor:
            progress(f"{case.title}: the floor")
            found.floor = floor(cluster)
        progress(f"{case.title}: started again")
        again(cluster, case, found, directory)
    return found


def patience(case: Case) -> float:
    return PATIENCE + PATIENCE_EACH * case.count


def cold(cluster: ControlPlane, case: Case, found: Measured, replica: Replica, began: datetime) -> None:
    before = server_cpu(cluster)
    settled(case, replica)
    found.cpu, found.server_cpu = used(replica.process.pid).cpu, server_cpu(cluster) - before
    calls = [call for call in writes(cluster) if call.code < 300]
    found.first = (calls[0].ended - began).total_seconds()
    for name, (resource, count) in expected(case).items():
        ends = {call.path: call.ended for call in calls if (call.resource, call.subresource) == resource}
        assert len(ends) >= count, f"{len(ends)} of {count} {name} were written"
        found.done[name] = (max(ends.values()) - began).total_seconds()


def server_cpu(cluster: ControlPlane) -> float:
    return sum(used(cluster.processes.pid(name)).cpu for name in ("apiserver", "etcd"))


def expected(case: Case) -> dict[str, tuple[tuple[str, str], int]]:
    """What is written, by resource and subresource, and how many there are of it. Those that are created share a path."""
    templates = {"policies": (("networkpolicies", ""), 1), "labels": (("sandboxtemplates", ""), case.count)}
    if not case.profiles:
        return templates
    return {**templates, "Secrets": (("secrets", ""), 1), "statuses": (("securityprofiles", "status"), case.count)}


def settled(case: Case, replica: Replica) -> None:
    """Everything had its turn, nothing waits, and nothing that had been put off came in `QUIET` seconds."""
    until(lambda: replica.process.poll() is not None or replica.ready, "ready", patience(case))
    while True:
        until(lambda: now_and_then() and at_rest(replica, case.count, case.profiles), "the queues are empty", patience(case))
        before = turns(replica)
        time.sleep(QUIET)
        if turns(replica) == before:
            return


def now_and_then() -> bool:
    """To be asked for metrics is work too."""
    time.sleep(PAUSE)
    return True


def writes(cluster: ControlPlane, since: int = 0) -> list[Call]:
    """The controller's, by what the API server says. Its Lease is written all the time, and no object's business."""
    return [call for call in cluster.audit()[since:] if call.user == USER and call.writes and call.resource != "leases"]


def edited(cluster: ControlPlane, case: Case, found: Measured) -> None:
    if case.edits:
        numbers = random.Random(1).sample(range(case.count), case.edits)
        with Watching(cluster.api, "secrets", lambda raw: raw["metadata"]["name"].endswith("-egress")) as secrets:
            found.edits = asyncio.run(edits(cluster, case, numbers, secrets))
        time.sleep(QUIET)  # the last ones' statuses come after their Secrets


async def edits(cluster: ControlPlane, case: Case, numbers: list[int], secrets: Watching) -> list[float]:
    found = []
    async with client_of(cluster.kubeconfig) as client:
        for number in numbers:
            profile = profile_of(number, case.kind, edition="second")
            key = Key(NAMESPACE, profile["metadata"]["name"])
            secrets.forget()
            began = time.monotonic()
            await client.merge_patch(PROFILES, key, {"spec": profile["spec"]})
            seen = await asyncio.to_thread(secrets.next, f"{key.name}-egress", PATIENCE)
            found.append(seen - began)
    return found


def floor(cluster: ControlPlane) -> Floor:
    """As an administrator, for the controller's account may set no label but its own."""
    arguments = (str(cluster.kubeconfig), str(Settings().workers))
    done = subprocess.run([sys.executable, "-m", "e2e.bench.controller.floor", *arguments], capture_output=True, text=True, check=True)
    return Floor(**json.loads(done.stdout))


def again(cluster: ControlPlane, case: Case, found: Measured, directory: Path) -> None:
    before, began = len(cluster.audit()), time.monotonic()
    with running(cluster, directory / f"{case.name}-again.log", ready=False) as replica:
        settled(case, replica)
        found.ready_again = time.monotonic() - began - QUIET
    found.writes_again = [f"{call.verb} {call.path} {call.code}" for call in writes(cluster, before)]
