"""Which IP families the pods of this cluster may have, from what the API says of it, unless the operator says.

  the operator's word                       holds, whatever the cluster says
  ranges of services (ServiceCIDR) and      each family that one of them shows
  of pods (Node), the Service `kubernetes`
  neither kind of range is known            both families

A family is found, never excluded: an object more makes the answer wider or leaves it. For a family too many costs bytes in the Secret and
is harmless in a pod without it (see `dataplane.sidecar`); one too few is closed to every pod. So the Service alone, which is of one
family on every cluster, decides nothing. A pod can have what no object shows: link-local IPv4 for egress on IPv6 clusters of some
clouds, for which the operator says DualStack.
"""

from collections.abc import Iterable

from controller.compile.ranges import listed, networks, part, pod_networks, service_networks
from dataplane.redirect import Families
from kube.objects import Raw

VERSIONS = {"IPv4": 4, "IPv6": 6}


def cluster_families(
    service_cidrs: Iterable[Raw], nodes: Iterable[Raw], kubernetes_service: Raw | None, override: Families | None
) -> Families:
    if override is not None:
        return override
    known = {network.version for raw in service_cidrs for network in service_networks(raw)}
    known |= {network.version for raw in nodes for network in pod_networks(raw)}
    if not known:
        return Families.DUAL
    return families_of(known | service_versions(kubernetes_service or {}))


def service_versions(raw: Raw) -> set[int]:
    spec = part(raw, "spec")
    addresses = networks((*listed(spec.get("clusterIPs")), *listed([spec.get("clusterIP")])))
    return {VERSIONS[text] for text in listed(spec.get("ipFamilies")) if text in VERSIONS} | {address.version for address in addresses}


def families_of(versions: set[int]) -> Families:
    if len(versions) == len(VERSIONS):
        return Families.DUAL
    return Families.IPV4 if versions == {VERSIONS["IPv4"]} else Families.IPV6
