"""A proxy between a controller and the real API server that does what networks and servers do on bad days, by script.

    with fault_proxy(cluster) as faults:
        kubeconfig = faults.kubeconfig(cluster.kubeconfig_for("controller"))
        slow = faults.add(Rule(verb="patch", resource="secrets", action=Status(429, retry_after=2), times=3))
        …
        assert slow.hits == 3 and not faults.asked(verb="delete")

`rules` says which requests and what becomes of them; `script` decides, by counts and by a seed; `asked` reads a request as RBAC does;
`wire` speaks HTTP/1.1; `proxy` ties them together in a thread of its own. Requests keep their own bearer token, so RBAC stays real.
"""

from e2e.cluster.faults.asked import Asked
from e2e.cluster.faults.proxy import FaultProxy, fault_proxy
from e2e.cluster.faults.rules import Cut, CutLine, Delay, Forward, Hang, Insert, Reply, Rule, Silence, Stale, Status, Truncate, Twice

__all__ = [
    "Asked",
    "Cut",
    "CutLine",
    "Delay",
    "FaultProxy",
    "Forward",
    "Hang",
    "Insert",
    "Reply",
    "Rule",
    "Silence",
    "Stale",
    "Status",
    "Truncate",
    "Twice",
    "fault_proxy",
]
