"""A node that runs pods, in namespaces of its own on this machine: nothing of it is left when the test run ends, however that happens.

    cage        the namespaces: processes, mounts, network; what is in them dies with one process
    network     the node's addresses, its link to the machine, and a small world outside it that a pod may try to reach
    cgroups     where pods are counted
    settings    the files of containerd, CNI, kubelet and proxy
    components  how they are started
    node        all of it, with the control plane in the same network

It needs root and Debian's containerd, runc and CNI plugins. No packet leaves the machine: the node has no route out.
"""

from e2e.cluster.node.node import Node, node

__all__ = ["Node", "node"]
