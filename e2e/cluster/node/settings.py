"""The files that containerd, the CNI plugins, kubelet and the proxy read, each line that is not obvious with its reason.

In comes where things are, out go texts. Machines that tests run on lack this and that (systemd, AppArmor, a registry, the right to
lower a process' out-of-memory score); what is said here suits them and does not hurt others.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.node.network import POD_RANGES
from e2e.cluster.pki import Pair

PAUSE_IMAGE = "localhost/pause:e2e"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFiles:
    """`plugins` is where the CNI plugins are; `cgroup` is the node's own."""

    directory: Path
    plugins: Path
    cgroup: str
    authority: Path
    serving: Pair
    kubelet: Path
    proxy: Path
    enforcer: Path

    @property
    def socket(self) -> Path:
        return self.directory / "containerd.sock"

    def path(self, name: str) -> Path:
        return self.directory / name


def write(files: NodeFiles, *, name: str) -> None:
    for directory in ("cni", "containerd", "kubelet", "pod-logs", "volume-plugins"):
        files.path(directory).mkdir()
    files.path("containerd.toml").write_text(_containerd(files))
    files.path("cni/10-pods.conflist").write_text(json.dumps(_pod_network(files)))
    files.path("kubelet.json").write_text(json.dumps(_kubelet(files)))
    files.path("proxy.json").write_text(json.dumps(_proxy(files, name)))


def _containerd(files: NodeFiles) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{files.path("containerd/root")}"
state = "{files.path("containerd/state")}"
[grpc]
  address = "{files.socket}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"   # imported, never pulled
  disable_apparmor = true
  restrict_oom_score_adj = true     # where we may not lower it, runc would fail without a word
  [{cri}.cni]
    bin_dir = "{files.plugins}"
    conf_dir = "{files.path("cni")}"
  [{cri}.containerd]
    snapshotter = "overlayfs"
    [{cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [{cri}.containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _pod_network(files: NodeFiles) -> dict[str, Any]:
    addresses = {"type": "host-local", "dataDir": str(files.path("cni-addresses")), "ranges": [[{"subnet": each}] for each in POD_RANGES]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "isDefaultGateway": True, "hairpinMode": True, "ipMasq": False}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge | {"ipam": addresses}]}


def _kubelet(files: NodeFiles) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,  # since 1.35 it refuses version 1 unless told
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": files.cgroup,
        "containerRuntimeEndpoint": f"unix://{files.socket}",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": str(files.authority)}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(files.serving.certificate),
        "tlsPrivateKeyFile": str(files.serving.key),
        "resolvConf": "",
        "failSwapOn": False,
        "oomScoreAdj": 0,  # lowering it may not be permitted
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,  # images were imported, and cannot be pulled again
        "nodeStatusUpdateFrequency": "5s",
        "podLogsDir": str(files.path("pod-logs")),
        "volumePluginDir": str(files.path("volume-plugins")),
    }


def _proxy(files: NodeFiles, name: str) -> dict[str, Any]:
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(files.proxy)},
        "clusterCIDR": ",".join(POD_RANGES),
        "hostnameOverride": name,
        "oomScoreAdj": 0,
        "conntrack": untouched,  # read-only outside the machine's first network
    }
