"""Kubernetes clusters for tests: the real parts, built and started here, or one that is already there.

    with control_plane() as cluster:        etcd, API server, controller manager on loopback: five seconds, no root
    with node() as cluster:                 and a node in a network of its own that runs pods: root, containerd
    existing() and kind()                   what a KUBECONFIG names, or what kind starts

All give a `Cluster`: `kubeconfig`, `kubectl`, `api`, `kubeconfig_for` an account. Ours can be broken too: `restart`, `compact`, `audit`;
`faults` stands between a client and any of them. `Missing` says what a machine lacks and how it is had.
What is built is cached (`cache`), and every process dies with the one that started it (`processes`). Nothing here knows Groyne.
"""

from e2e.cluster.cluster import Cluster
from e2e.cluster.components import Settings
from e2e.cluster.control_plane import ControlPlane, control_plane
from e2e.cluster.missing import Missing

__all__ = ["Cluster", "ControlPlane", "Missing", "Settings", "control_plane"]
