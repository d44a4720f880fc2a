"""How what a node needs is started: containerd, kubelet, scheduler, proxy, and the one that enforces NetworkPolicies.

In come files and addresses, out go commands by name. Where they run (`Cage.inside` or only its network) is part of the command.
"""

from collections.abc import Sequence

from e2e.cluster.binaries import binaries, command
from e2e.cluster.node.cage import Cage
from e2e.cluster.node.network import POD_RANGES
from e2e.cluster.node.settings import NodeFiles


def commands(cage: Cage, files: NodeFiles, *, name: str, addresses: Sequence[str], scheduler: str) -> dict[str, Sequence[str]]:
    """`addresses` are the node's own, `scheduler` is the scheduler's kubeconfig."""
    return {
        "containerd": [*cage.inside, "containerd", "--config", str(files.path("containerd.toml"))],
        "kubelet": [*cage.inside, *command("kubelet"), *_kubelet(files, name, addresses)],
        "scheduler": [*cage.network, *command("scheduler"), f"--kubeconfig={scheduler}", "--leader-elect=false", "--secure-port=0"],
        "proxy": [*cage.network, *command("proxy"), f"--config={files.path('proxy.json')}"],
        "netpol": [*cage.network, str(binaries().netpol), f"--kubeconfig={files.enforcer}", f"--pod-ranges={','.join(POD_RANGES)}"],
    }


def _kubelet(files: NodeFiles, name: str, addresses: Sequence[str]) -> Sequence[str]:
    return [
        f"--config={files.path('kubelet.json')}",
        f"--kubeconfig={files.kubelet}",
        f"--root-dir={files.path('kubelet')}",
        f"--cert-dir={files.path('kubelet')}",
        f"--hostname-override={name}",
        f"--node-ip={','.join(addresses)}",
    ]
