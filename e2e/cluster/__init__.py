"""Kubernetes clusters for tests: the real parts, built and started here, or one that is already there.

    with control_plane() as cluster:        etcd, API server, controller manager on loopback: five seconds, no root
    with node() as cluster:                 and a node in a network of its own that runs pods: root, containerd
    with chosen() as cluster:               what $E2E_CLUSTER says: one of these, or an existing one, or kind's

All give a `Cluster`: `kubeconfig`, `kubectl`, `api`, `kubeconfig_for` an account. Ours can be broken too: `restart`, `compact`, `audit`;
`faults` stands between a client and any of them. `Missing` says what a machine lacks and how it is had.
What is built is cached (`cache`), and every process dies with the one that started it (`processes`). Only `images` knows Groyne.
"""

from e2e.cluster.choice import chosen
from e2e.cluster.cluster import Cluster
from e2e.cluster.components import Settings
from e2e.cluster.control_plane import ControlPlane, control_plane
from e2e.cluster.missing import Missing
from e2e.cluster.node import Node, node

__all__ = ["Cluster", "ControlPlane", "Missing", "Node", "Settings", "chosen", "control_plane", "node"]
