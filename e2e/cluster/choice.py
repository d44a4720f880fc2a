"""Which cluster a suite runs on: $E2E_CLUSTER says `existing`, `kind`, or nothing, which is the machine's own.

An existing cluster is the one of $KUBECONFIG's current context, and only where both are set: nobody's cluster is tested on by mistake.
A kind cluster of our name that is there already is used and left; else one is made, and deleted at the end.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster.cluster import Cluster
from e2e.cluster.control_plane import control_plane
from e2e.cluster.kubectl import kubectl
from e2e.cluster.missing import Missing
from e2e.cluster.node import node
from e2e.cluster.workplace import workplace

_KIND_READY = "180s"


@contextmanager
def chosen(*, pods: bool = False) -> Iterator[Cluster]:
    """With `pods`, one whose nodes run them. Raises Missing."""
    name = os.environ.get("E2E_CLUSTER") or "own"
    ways = {"own": node if pods else control_plane, "existing": existing, "kind": kind}
    if name not in ways:
        raise Missing(f"E2E_CLUSTER={name} is not known", "set it to existing or kind, or leave it out for the machine's own")
    with ways[name]() as cluster:
        yield cluster


class Kind(Cluster):
    def __init__(self, name: str, kubeconfig: Path, directory: Path) -> None:
        super().__init__(kubeconfig, directory)
        self._name = name

    def load(self, archive: Path, name: str) -> str:
        _kind("load", "image-archive", str(archive), "--name", self._name)
        return name


@contextmanager
def existing() -> Iterator[Cluster]:
    if not os.environ.get("KUBECONFIG"):
        raise Missing("E2E_CLUSTER=existing without KUBECONFIG", "set KUBECONFIG to a file whose current context is an administrator's")
    with workplace("cluster") as work:
        path = work / "admin.conf"
        path.touch(mode=0o600)
        path.write_text(kubectl(None, "config", "view", "--raw", "--minify", "--flatten"))
        yield Cluster(path, work)


@contextmanager
def kind() -> Iterator[Cluster]:
    if not shutil.which("kind"):
        raise Missing("no kind", "install it (https://kind.sigs.k8s.io) with Docker or Podman, or leave E2E_CLUSTER out")
    name = f"groyne-e2e{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    there = name in _kind("get", "clusters").split()
    with workplace("cluster") as work:
        path = work / "admin.conf"
        if not there:
            _kind("create", "cluster", "--name", name, "--wait", _KIND_READY, "--kubeconfig", str(path))
        try:
            path.write_text(_kind("get", "kubeconfig", "--name", name))
            yield Kind(name, path, work)
        finally:
            if not there:
                _kind("delete", "cluster", "--name", name, "--kubeconfig", str(path))


def _kind(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"kind {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
