"""What the cluster itself says that bears on every template: its address ranges and IP families, from ServiceCIDRs, Nodes, the
`kubernetes` Service and the settings. A new `Cluster` is made only where its content differs.
Of a thousand Nodes each sends a heartbeat every few minutes, and to read them all takes long: an event that changes nothing of what is
read here is no reason to.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from controller.compile.families import cluster_families
from controller.compile.groyne_policy import Endpoint
from controller.compile.ranges import cluster_ranges, listed_parts, part
from controller.compile.template import Cluster
from controller.compile.workload_authorities import Authorities
from controller.compile.workload_secrets import Issuing
from controller.ext_proc import ExtProcPlace
from controller.settings import Settings
from dataplane.redirect import Families
from dataplane.sidecar import SidecarOptions
from kube.objects import Raw, metadata

READ = ("spec", "status")
"""The parts of a Node or a ServiceCIDR in which something is read."""
OVERRIDES = {"ipv4": Families.IPV4, "ipv6": Families.IPV6, "dual": Families.DUAL}

Objects = Callable[[], Iterable[Raw]]


@dataclass(slots=True, kw_only=True)
class ClusterView:
    settings: Settings
    service_cidrs: Objects
    nodes: Objects
    kubernetes_service: Callable[[], Raw | None]
    ext_proc: ExtProcPlace
    authorities: Callable[[], Authorities | None] = lambda: None
    _known: Cluster | None = field(default=None)

    def __call__(self) -> Cluster:
        if self._known is None:
            self._known = self._read()
        return self._known

    def refresh(self) -> bool:
        """Whether it has changed."""
        found = self._read()
        changed = self._known != found
        if changed:
            self._known = found
        return changed

    def _read(self) -> Cluster:
        cidrs, nodes = list(self.service_cidrs()), list(self.nodes())
        families = cluster_families(cidrs, nodes, self.kubernetes_service(), OVERRIDES.get(self.settings.families))
        options = SidecarOptions(
            port=self.settings.sidecar_port,
            allowed=texts(self.settings.allowed_private),
            families=families,
            external=self.ext_proc.external(families),
        )
        ranges = cluster_ranges(cidrs, nodes, texts(self.settings.excluded_ranges))
        ext_proc = Endpoint(namespace=self.settings.pod_namespace)
        if self.ext_proc.host:
            ext_proc = replace(ext_proc, port=self.ext_proc.port)
        return Cluster(extra_excluded=ranges, sidecar=options, ext_proc=ext_proc, issuing=self._issuing())

    def _issuing(self) -> Issuing | None:
        return Issuing(trust_domain=self.settings.trust_domain, authorities=self.authorities()) if self.settings.issues else None


def told_by_node(raw: Raw) -> Raw:
    """A Node without what nobody reads."""
    head = {name: value for name, value in metadata(raw).items() if name in ("name", "uid", "resourceVersion")}
    ranges = {name: value for name, value in part(raw, "spec").items() if name in ("podCIDR", "podCIDRs")}
    addresses = [found for found in listed_parts(part(raw, "status").get("addresses")) if found.get("type") == "InternalIP"]
    kind = {name: value for name, value in raw.items() if name in ("apiVersion", "kind")}
    return {**kind, "metadata": head, "spec": ranges, "status": {"addresses": addresses}}


def tells_the_same(old: Raw | None, new: Raw | None) -> bool:
    return old is not None and new is not None and all(old.get(name) == new.get(name) for name in READ)


def texts(ranges: Iterable[object]) -> tuple[str, ...]:
    return tuple(str(each) for each in ranges)
