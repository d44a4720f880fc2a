"""The controller as a process, under its own ServiceAccount and the rights that the kustomization gives it.

`installed` applies `kustomize/overlays/default` once; its Deployment finds no node on a bare control plane, and the process stands in
for it. `running` starts one replica and waits until it is ready; its log is what a failed test shows.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from e2e.cluster import Cluster
from e2e.cluster.ports import free_port
from e2e.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, ACCOUNT = "groyne-system", "groyne-controller"
STARTED = 90.0
"""On a machine that has much else to do a process may take long to begin."""


@dataclass(slots=True, kw_only=True)
class Replica:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)

    @property
    def ready(self) -> bool:
        try:
            return self.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def install(cluster: Cluster, overlay: str = "default") -> None:
    """The CRDs first, as `kubectl apply` needs when their objects come along."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(ROOT / "kustomize" / "overlays" / overlay))
    established(cluster)


def established(cluster: Cluster) -> None:
    """All CustomResourceDefinitions. `kubectl wait` ends with an error where one has no status yet."""

    def lacking() -> list[str]:
        return [crd["metadata"]["name"] for crd in cluster.get("crds")["items"] if not _established(crd)]

    until(lambda: not lacking(), lambda: f"established: {lacking()}")


def _established(crd: dict[str, Any]) -> bool:
    return any((each["type"], each["status"]) == ("Established", "True") for each in crd.get("status", {}).get("conditions") or ())


@contextmanager
def running(cluster: Cluster, log: Path, *flags: str, kubeconfig: Path | None = None, ready: bool = True) -> Iterator[Replica]:
    port = free_port()
    file = kubeconfig or cluster.kubeconfig_for(ACCOUNT, NAMESPACE)
    arguments = ["--kubeconfig", str(file), "--health-port", str(port), "--pod-name", log.stem, *flags]
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "controller", *arguments], cwd=ROOT, stdout=out, stderr=out, env=environment())
    replica = Replica(process=process, port=port, log=log)
    try:
        if ready:
            until(lambda: replica.ready or process.poll() is not None, lambda: f"the controller is ready\n{replica.said()}", STARTED)
            assert process.poll() is None, replica.said()
        yield replica
    finally:
        if process.poll() is None:
            replica.stop()


def environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(("GROYNE_", "KUBE"))}
