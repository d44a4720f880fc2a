"""Controller processes by way of a fault proxy: started, killed, started again; and a second opinion from one that asks directly.

A crash is `kill -9`, at a moment that the proxy has stopped. What a process said stays in its log, one for each start.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import FaultProxy
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, Replica, running
from e2e.support.waiting import until

PATIENCE = 120.0
"""For a machine that has much to do to start a process."""
ALONE = ("--no-leader-election",)


class Operator:
    """One replica, and its successors."""

    def __init__(self, cluster: ControlPlane, kubeconfig: Path, logs: Path, name: str, *flags: str) -> None:
        self._cluster, self._kubeconfig, self._logs = cluster, kubeconfig, logs
        self._name, self._flags, self.starts = name, flags, 0
        self._open = ExitStack()
        self._replica: Replica | None = None

    @property
    def replica(self) -> Replica:
        assert self._replica is not None
        return self._replica

    @property
    def alive(self) -> bool:
        return self._replica is not None and self._replica.process.poll() is None

    def start(self, *, ready: bool = True) -> Replica:
        self.starts += 1
        log = self._logs / f"{self._name}-{self.starts}.log"
        found = self._open.enter_context(running(self._cluster, log, *self._flags, kubeconfig=self._kubeconfig, ready=False))
        self._replica = found
        if ready:
            until(lambda: found.ready or found.process.poll() is not None, "the controller is ready", PATIENCE)
            assert self.alive, found.said()
        return found

    def kill(self) -> None:
        if self.alive:
            self.replica.kill()

    def said(self) -> str:
        """All that it and its predecessors wrote."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._logs.glob(f"{self._name}-*.log")))

    def close(self) -> None:
        self._open.close()


@contextmanager
def operator(cluster: ControlPlane, faults: FaultProxy, logs: Path, name: str, *flags: str, ready: bool = True) -> Iterator[Operator]:
    """Started, by way of the proxy, with a token of its own."""
    kubeconfig = faults.kubeconfig(cluster.kubeconfig_for(ACCOUNT, NAMESPACE))
    found = Operator(cluster, kubeconfig, logs, name, *flags)
    try:
        found.start(ready=ready)
        yield found
    finally:
        found.close()


def second_opinion(cluster: ControlPlane, log: Path, *flags: str) -> int:
    """A fresh process that brings everything up to date, past the proxy, and its exit code."""
    kubeconfig = cluster.kubeconfig_for(ACCOUNT, NAMESPACE)
    with running(cluster, log, "--once", *ALONE, *flags, kubeconfig=kubeconfig, ready=False) as once:
        return once.process.wait(timeout=PATIENCE)
