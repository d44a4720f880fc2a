"""Places on a control plane of the module's own, with the kustomization applied, and a proxy to make its days bad."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import FaultProxy, fault_proxy
from e2e.kubernetes.controller_process import install
from e2e.kubernetes.faults.operator import operator
from e2e.kubernetes.faults.place import Place
from e2e.kubernetes.faults.scene import LOG_SHOWN, PATIENT, Scene

LEASE = "/apis/coordination.k8s.io/v1/namespaces/groyne-system/leases/groyne-controller"


@pytest.fixture(scope="module")
def ground(breakable: ControlPlane) -> ControlPlane:
    install(breakable)
    return breakable


@pytest.fixture
def faults(ground: ControlPlane) -> Iterator[FaultProxy]:
    """Nobody leads at first: a test that failed may have left its Lease to somebody who is gone."""
    with ground.http() as http:
        assert http.delete(LEASE).status_code in (200, 404)
    with fault_proxy(ground, seed=1) as made:
        yield made


@pytest.fixture
def place(ground: ControlPlane) -> Iterator[Place]:
    found = Place.make(ground)
    yield found
    found.end()


@pytest.fixture
def scene(ground: ControlPlane, faults: FaultProxy, place: Place, tmp_path: Path) -> Iterator[Scene]:
    well = Place.make(ground)
    with operator(ground, faults, tmp_path, "controller", *PATIENT) as found:
        before = place.http.get(place.path("configmap")).json()["metadata"]["resourceVersion"]
        made = Scene(since_version=before, ground=ground, faults=faults, operator=found, bad=place, well=well, logs=tmp_path)
        for each in (place, well):
            made.edit(each)
        made.settled()
        faults.forget()
        made.since = time.monotonic()
        yield made
        faults.clear()
        sys.stdout.write(found.said()[-LOG_SHOWN:])  # pytest shows it where a test fails
    well.end()
