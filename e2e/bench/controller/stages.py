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
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from policy.template_hashes import HASH_LABEL
from controller.kinds import PROFILES
from controller.settings import Settings
from e2e.bench.controller.cases import NAMESPACE, Case, profile_of
from e2e.bench.controller.load import client_of, fill
from e2e.bench.controller.process import Used, at_rest, used
from e2e.bench.controller.watching import Raw, Watching
from e2e.cluster import ControlPlane, control_plane
from e2e.cluster import Settings as ControlPlaneSettings
from e2e.kubernetes.controller_process import ACCOUNT, Replica, install, running, until
from e2e.kubernetes.controller_process import NAMESPACE as SYSTEM
from kube.objects import Key

Progress = Callable[[str], None]
USER = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
PATIENCE = 120.0
PATIENCE_EACH = 0.1
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
    """Seconds since the process's start, by what was last; `writes_again` after a start with nothing changed, `edits` in seconds."""

    case: Case
    first: float = 0.0
    done: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    megabytes: float = 0.0
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
        with ExitStack() as stack:
            watches = {name: stack.enter_context(watch) for name, watch in watches_of(cluster, case).items()}
            progress(f"{case.title}: cold")
            began = time.monotonic()
            with running(cluster, directory / f"{case.name}-cold.log", ready=False) as replica:
                cold(case, found, replica, watches, began)
                progress(f"{case.title}: edits")
                edited(cluster, case, found, watches)
                found.megabytes = peak(replica)
        progress(f"{case.title}: the floor")
        if case.name == "policies":
            found.floor = floor(cluster)
        progress(f"{case.title}: started again")
        again(cluster, case, found, directory)
    return found


def patience(case: Case) -> float:
    return PATIENCE + PATIENCE_EACH * case.count


def watches_of(cluster: ControlPlane, case: Case) -> dict[str, Watching]:
    def watch(path: str, as_it_should: Callable[[Raw], bool], *, metadata: bool = True) -> Watching:
        return Watching(cluster.api, path, as_it_should, metadata=metadata)

    templates = {
        "policies": watch("networking.k8s.io/v1/networkpolicies", named("-network-policy")),
        "labels": watch("extensions.agents.x-k8s.io/v1beta1/sandboxtemplates", labelled),
    }
    if not case.profiles:
        return templates
    return {
        **templates,
        "Secrets": watch("secrets", named("-egress")),
        "statuses": watch("agents.kruise.io/v1alpha1/securityprofiles", programmed, metadata=False),
    }


def named(suffix: str) -> Callable[[Raw], bool]:
    return lambda found: found["metadata"]["name"].endswith(suffix)


def labelled(template: Raw) -> bool:
    return HASH_LABEL in template["metadata"].get("labels", {})


def programmed(profile: Raw) -> bool:
    conditions = profile.get("status", {}).get("conditions", [])
    return any((condition["type"], condition["status"]) == ("Programmed", "True") for condition in conditions)


def cold(case: Case, found: Measured, replica: Replica, watches: dict[str, Watching], began: float) -> None:
    for name, watch in watches.items():
        watch.until(case.count, patience(case), lambda: replica.process.poll() is None)
        found.done[name] = watch.last - began
    found.first = min(min(watch.seen.values()) for watch in watches.values()) - began
    until(lambda: at_rest(replica, case.count, case.profiles), "the queues are empty", patience(case))
    found.cpu = used(replica.process.pid).cpu


def edited(cluster: ControlPlane, case: Case, found: Measured, watches: dict[str, Watching]) -> None:
    if case.edits:
        numbers = random.Random(1).sample(range(case.count), case.edits)
        found.edits = asyncio.run(edits(cluster, case, numbers, watches["Secrets"]))
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


def peak(replica: Replica) -> float:
    found: Used = used(replica.process.pid)
    return found.megabytes


def floor(cluster: ControlPlane) -> Floor:
    """As an administrator, for the controller's account may set no label but its own."""
    arguments = (str(cluster.kubeconfig), str(Settings().workers))
    done = subprocess.run([sys.executable, "-m", "e2e.bench.controller.floor", *arguments], capture_output=True, text=True, check=True)
    return Floor(**json.loads(done.stdout))


def again(cluster: ControlPlane, case: Case, found: Measured, directory: Path) -> None:
    """Its Lease is written all the time, and no object's business."""
    before = len(cluster.audit())
    began = time.monotonic()
    with running(cluster, directory / f"{case.name}-again.log", ready=False) as replica:
        until(lambda: replica.ready, "ready", patience(case))
        until(lambda: at_rest(replica, case.count, case.profiles), "the queues are empty", patience(case))
        found.ready_again = time.monotonic() - began
        time.sleep(QUIET)
    calls = [call for call in cluster.audit()[before:] if call.user == USER and call.writes and call.resource != "leases"]
    found.writes_again = [f"{call.verb} {call.path} {call.code}" for call in calls]
