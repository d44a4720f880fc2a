"""A cluster of one node that runs pods: the control plane, in a network with containerd, kubelet, scheduler, proxy and policies.

    with node() as cluster:
        cluster.kubectl("run", "one", "--image=localhost/tools:e2e")

It is dual-stack, ready in some six seconds, and several can run at once. Images come by `load`; nothing is pulled. What goes on in the
world outside the node, as a pod sees it, is a test's to start by `outside`.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import images
from e2e.cluster.binaries import binaries
from e2e.cluster.components import Place, Settings
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.missing import Missing
from e2e.cluster.node import cgroups, components, network
from e2e.cluster.node import settings as node_settings
from e2e.cluster.node.cage import Cage
from e2e.cluster.node.network import Link
from e2e.cluster.node.settings import PAUSE_IMAGE, NodeFiles
from e2e.cluster.pki import Pair
from e2e.cluster.processes import Processes
from e2e.cluster.workplace import workplace

NAME = "node-1"
_PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "busybox": "busybox-static",
    "mmdebstrap": "mmdebstrap",
}
_DEATH_SECONDS = 5.0
_PLUGINS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


class Node(ControlPlane):
    """Components are those of a `ControlPlane` and `containerd`, `kubelet`, `scheduler`, `proxy` and `netpol`."""

    def __init__(self, directory: Path, *, cage: Cage, link: Link, cgroup: str, settings: Settings) -> None:
        self._cage = cage
        self._link = link
        self._cgroup = cgroup
        place = Place(addresses=link.node, enter=tuple(cage.network), api_port=6443, etcd_port=2379, peer_port=2380)
        super().__init__(directory, place=place, settings=settings)

    def begin(self) -> None:
        """Images are imported while the API server starts."""
        self.processes.start("containerd")
        self.processes.start("etcd")
        self.processes.start("apiserver")
        self.processes.wait_until("containerd", self._containerd_answers)
        with workplace("image") as work:
            self._import(images.pause(work / "pause.tar", PAUSE_IMAGE))
            self._import(images.tools(work / "tools.tar"))
        for name in ("etcd", "apiserver"):
            self.wait_ready(name)
        for name in ("controller-manager", "scheduler", "kubelet", "proxy", "netpol"):
            self.processes.start(name)
        self.processes.wait_until("controller-manager", self._has_default_account)
        self.processes.wait_until("kubelet", self._node_is_ready)

    def end(self) -> None:
        """First the cage: then those in it are dead before their keepers here, and nobody else has to bury them."""
        self._cage.end()
        for name in ("containerd", "kubelet"):
            if self.processes.running(name):
                self.processes.wait(name, limit=_DEATH_SECONDS)
        super().end()

    def load(self, archive: Path, name: str) -> str:
        self._import(archive)
        return name

    def outside(self, *command: str) -> "subprocess.Popen[str]":
        """Starts a program of this machine in the world outside the node, where it may listen on the addresses of `network`."""
        enter = ["nsenter", f"--target={self._cage.pid}", "--pid", "--mount", "--net=" + f"/proc/{self._cage.pid}/root/run/netns/outside"]
        return subprocess.Popen(
            [*enter, "--", *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def on_node(self, *command: str) -> str:
        """What a program says that runs on the node itself."""
        return self._cage.run(*command)

    def _import(self, archive: Path) -> None:
        self._cage.run("ctr", "--address", str(self._node_files.socket), "--namespace", "k8s.io", "images", "import", str(archive))

    def _containerd_answers(self) -> bool:
        try:
            self._cage.run("ctr", "--address", str(self._node_files.socket), "version")
        except RuntimeError:
            return False
        return True

    def _node_is_ready(self) -> bool:
        found = self.kubectl("get", "node", NAME, "--output", "jsonpath={.status.conditions[?(@.type=='Ready')].status}", check=False)
        return found == "True"

    def _kubelet_client(self) -> Pair | None:
        return self.authority.issue("apiserver-to-kubelet", common_name="apiserver-to-kubelet", organisations=["system:masters"])

    def _commands(self) -> dict[str, Sequence[str]]:
        self._node_files = NodeFiles(
            directory=self.directory,
            plugins=_plugins(),
            cgroup=self._cgroup,
            authority=self.authority.certificate,
            serving=self.authority.issue("kubelet-serving", common_name=NAME, hosts=[NAME, *self._link.node]),
            kubelet=self._identity("kubelet", f"system:node:{NAME}", "system:nodes"),
            proxy=self._identity("proxy", "system:kube-proxy"),
            enforcer=self._identity("netpol", "netpol", "system:masters"),
        )
        node_settings.write(self._node_files, name=NAME)
        scheduler = str(self._identity("scheduler", "system:kube-scheduler"))
        own = components.commands(self._cage, self._node_files, name=NAME, addresses=self._link.node, scheduler=scheduler)
        return {**super()._commands(), **own}

    def _identity(self, file: str, common_name: str, *organisations: str) -> Path:
        return self._kubeconfig(file, self.authority.issue(file, common_name=common_name, organisations=organisations))


@contextmanager
def node(settings: Settings | None = None) -> Iterator[Node]:
    """Raises Missing where the machine cannot have one."""
    _check()
    with workplace("node") as directory, cgroups.group() as cgroup:
        cage = Cage(Processes(directory / "logs"), binaries().pause)
        try:
            cage.furnish(directory)
            made = Node(directory, cage=cage, link=network.connect(cage), cgroup=cgroup, settings=settings or Settings())
            try:
                made.begin()
                yield made
            finally:
                made.end()
        finally:
            cage.end()


def _check() -> None:
    if os.geteuid() != 0:
        raise Missing("a node needs root", "run as root, or on a cluster: E2E_CLUSTER=kind, or E2E_CLUSTER=existing with KUBECONFIG")
    lacking = sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program)})
    if lacking:
        raise Missing(f"a node lacks {', '.join(lacking)}", f"apt-get install {' '.join(lacking)}")
    _plugins()


def _plugins() -> Path:
    for place in _PLUGINS:
        if (place / "bridge").is_file():
            return place
    raise Missing("a node lacks the CNI plugins", "apt-get install containernetworking-plugins")
