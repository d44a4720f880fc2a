"""What RBAC grants an account, right by right, and which of these rights a call used.

In come roles and bindings as manifests, and calls as the audit log has them; out go `Right`s, one for each verb on each resource in each
place. It reads manifests, not the cluster: what is compared is what would be installed, and rights that everybody has are none of it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from e2e.cluster.audit import Call

Raw = dict[str, Any]
_BINDINGS = {"RoleBinding": "Role", "ClusterRoleBinding": "ClusterRole"}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Right:
    """`namespace` is empty for the whole cluster, `name` for every name, `resource` is e.g. `securityprofiles/status`."""

    namespace: str
    group: str
    resource: str
    name: str
    verb: str

    def allows(self, call: Call) -> bool:
        """A call for all namespaces needs a right in all of them."""
        resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
        asked = call.group, resource, call.verb
        there = self.namespace in ("", call.namespace) and self.name in ("", call.name)
        return (self.group, self.resource, self.verb) == asked and there

    def __str__(self) -> str:
        of = f"{self.resource}.{self.group}" if self.group else self.resource
        return " ".join(filter(None, (self.verb, of, self.name, f"in {self.namespace}" if self.namespace else "")))


def granted(manifests: Iterable[Raw], account: str, namespace: str) -> frozenset[Right]:
    """To the service account, by the bindings among `manifests`; their roles must be there too."""
    objects = list(manifests)
    roles = {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects if "rules" in each}
    found: set[Right] = set()
    for binding in objects:
        if binding["kind"] in _BINDINGS and _names(binding, account, namespace):
            place = binding["metadata"].get("namespace", "") if binding["kind"] == "RoleBinding" else ""
            role = binding["roleRef"]
            found |= set(_rights(roles[role["kind"], place if role["kind"] == "Role" else "", role["name"]], place))
    return frozenset(found)


def _names(binding: Raw, account: str, namespace: str) -> bool:
    wanted = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return any(wanted.items() <= subject.items() for subject in binding["subjects"])


def _rights(role: Raw, place: str) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield Right(namespace=place, group=group, resource=resource, name=name, verb=verb)
