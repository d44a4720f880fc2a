"""A control plane of our own: etcd, API server and controller manager, ready in seconds, with no node, and broken at will.

    with control_plane() as cluster:
        cluster.kubectl("get", "namespaces")
        cluster.restart("apiserver")

It needs no root, several can run at once, and nothing is left of it: the processes die with ours, the directory goes at the end.
"""

import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from e2e.cluster import audit, components, etcd, kubeconfig
from e2e.cluster.cluster import Cluster
from e2e.cluster.components import Files, Place, Settings
from e2e.cluster.pki import Authority, Pair, signing_key
from e2e.cluster.ports import free_port
from e2e.cluster.processes import Processes
from e2e.cluster.workplace import workplace

_MASTERS = "system:masters"
# An API server that is asked to end waits for watches, and etcd for the API server: those that never end are cut.
_GRACE_SECONDS = 2.0
# When etcd is back the API server says that it is ready, and still refuses lists for a moment, with 429, until its caches are full.
_SERVED = ("/readyz", "/api/v1/namespaces", "/api/v1/secrets", "/apis/networking.k8s.io/v1/networkpolicies")


class ControlPlane(Cluster):
    """Components are called `etcd`, `apiserver` and `controller-manager`."""

    def __init__(self, directory: Path, *, place: Place, settings: Settings) -> None:
        self.directory = directory
        self.place = place
        self.settings = settings
        self.processes = Processes(directory / "logs")
        self.authority = Authority(directory / "pki")
        self._files = self._prepare()
        self._tls = _client_context(self.authority.certificate, self._admin)
        super().__init__(self._kubeconfig("admin", self._admin), directory)
        for name, command in self._commands().items():
            self.processes.define(name, command)

    def begin(self) -> None:
        """All components, in order, until a namespace has its service account."""
        for name in ("etcd", "apiserver"):
            self.start(name)
        self.processes.start("controller-manager")
        self.processes.wait_until("controller-manager", self._has_default_account)

    def start(self, name: str) -> None:
        """Until it is ready."""
        self.processes.start(name)
        self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        if name == "etcd":
            self.processes.wait_until(name, lambda: etcd.healthy(self.place.etcd))
        if name in ("etcd", "apiserver") and self.processes.running("apiserver"):
            self.processes.wait_until("apiserver", lambda: all(map(self._answers, _SERVED)))

    def stop(self, name: str, *, grace: float = _GRACE_SECONDS) -> None:
        self.processes.stop(name, grace=grace)

    def restart(self, name: str, *, grace: float = _GRACE_SECONDS) -> None:
        """With the same data, at the same address. With `grace` 0 it is killed."""
        self.stop(name, grace=grace)
        self.start(name)

    def compact(self) -> int:
        """etcd forgets its history. What the API server has cached it still answers from, until it is restarted (or has no watch cache)."""
        return etcd.compact(self.place.etcd)

    @contextmanager
    def full(self) -> Iterator[None]:
        """etcd has no room: who writes is told so."""
        etcd.full(self.place.etcd, now=True)
        try:
            yield
        finally:
            etcd.full(self.place.etcd, now=False)

    def http(self) -> httpx.Client:
        """The administrator's own connection, for tests that ask often: each kubectl takes a tenth of a second to start."""
        return httpx.Client(base_url=self.place.server, verify=self._tls, timeout=10, trust_env=False)

    def audit(self) -> list[audit.Call]:
        """All calls since the beginning, across restarts."""
        return audit.read(self._files.audit_log)

    def audit_log(self) -> Path:
        return self._files.audit_log

    def end(self) -> None:
        self.processes.stop_all()

    def _prepare(self) -> Files:
        signing = signing_key(self.directory / "pki")
        self._admin = self.authority.issue("admin", common_name="admin", organisations=[_MASTERS])
        manager = self.authority.issue("controller-manager", common_name="system:kube-controller-manager")
        names = ("localhost", "kubernetes", "kubernetes.default.svc", "127.0.0.1", "::1")
        serving = self.authority.issue(
            "apiserver", common_name="kube-apiserver", hosts=[*names, *self.place.addresses, self.settings.kubernetes_address]
        )
        files = Files(
            directory=self.directory,
            authority=self.authority.certificate,
            serving=serving,
            signing=signing,
            controller_manager=self._kubeconfig("controller-manager", manager),
            kubelet_client=self._kubelet_client(),
        )
        files.audit_policy.write_text(json.dumps(audit.POLICY))
        (self.directory / "etcd").mkdir(mode=0o700)
        return files

    def _kubelet_client(self) -> Pair | None:
        return None

    def _commands(self) -> dict[str, Sequence[str]]:
        given = self.place, self._files, self.settings
        return {
            "etcd": components.etcd(*given),
            "apiserver": components.apiserver(*given),
            "controller-manager": components.controller_manager(*given),
        }

    def _kubeconfig(self, name: str, pair: Pair) -> Path:
        path = self.directory / f"{name}.conf"
        return kubeconfig.by_certificate(path, server=self.place.server, authority=self.authority.certificate, pair=pair)

    def _has_default_account(self) -> bool:
        return self._answers("/api/v1/namespaces/default/serviceaccounts/default")

    def _answers(self, path: str) -> bool:
        try:
            return httpx.get(self.place.server + path, timeout=2, verify=self._tls, trust_env=False).is_success
        except httpx.TransportError:
            return False


@contextmanager
def control_plane(settings: Settings | None = None) -> Iterator[ControlPlane]:
    """Raises Missing where the machine cannot have one."""
    with workplace("cluster") as directory:
        place = Place(api_port=free_port(), etcd_port=free_port(), peer_port=free_port())
        cluster = ControlPlane(directory, place=place, settings=settings or Settings())
        try:
            cluster.begin()
            yield cluster
        finally:
            cluster.end()


def _client_context(authority: Path, pair: Pair) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(pair.certificate, pair.key)
    return context
