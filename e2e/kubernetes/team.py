"""What a team does in its namespace, and what it sees there: kubectl in the hands of tests.

In come objects as the unit tests make them, written as a user would; out go objects as the server has them, once they are as awaited.
"""

import base64
import json
from typing import Any

from e2e.cluster import Cluster
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE
from e2e.support.waiting import PATIENCE, until


class Team:
    """One opted-in namespace and what its people do there."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace

    def opt_in(self) -> None:
        """The right first: what the label asks for is then allowed."""
        account = f"--serviceaccount={NAMESPACE}:{ACCOUNT}"
        self.cluster.kubectl("create", "rolebinding", "groyne", "--clusterrole=groyne-namespace", account, "-n", self.namespace)
        user = f"--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
        asked = "auth", "can-i", "list", "secrets", user, "-n", self.namespace
        until(lambda: self.cluster.kubectl(*asked, check=False).startswith("yes"), "the right to list Secrets")
        self.cluster.kubectl("label", "namespace", self.namespace, "groyne.dev/secrets=managed", "--overwrite")

    def apply(self, *objects: dict[str, Any]) -> None:
        self.cluster.apply(*(written(each, self.namespace) for each in objects))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        text = self.cluster.kubectl("get", kind, name, "-n", self.namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def wait(self, kind: str, name: str, holds=lambda found: True, what: str = "") -> dict[str, Any]:
        def look() -> Any:
            found = self.get(kind, name)
            return found if found and holds(found) else None

        return until(look, lambda: f"{kind} {name} {what}: {self.get(kind, name)}")

    def gone(self, kind: str, name: str, patience: float = PATIENCE) -> None:
        until(lambda: self.get(kind, name) is None, f"{kind} {name} is gone", patience)

    def delete(self, kind: str, name: str) -> None:
        self.cluster.kubectl("delete", kind, name, "-n", self.namespace, "--wait=false")

    def condition(self, name: str, kind: str, status: str, reason: str) -> dict[str, Any]:
        def holds(found: dict[str, Any]) -> bool:
            return any(
                (c["type"], c["status"], c["reason"]) == (kind, status, reason)
                and c["observedGeneration"] == found["metadata"]["generation"]
                for c in found.get("status", {}).get("conditions", [])
            )

        return self.wait("securityprofile", name, holds, f"{kind}={status}/{reason}")

    def secret(self, name: str, **values: str) -> dict[str, Any]:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values}


def written(raw: dict[str, Any], namespace: str) -> dict[str, Any]:
    """As a user writes it: without what only the server fills in."""
    head = {name: value for name, value in raw["metadata"].items() if name in ("name", "labels", "annotations") and value}
    return {**raw, "metadata": head if raw["kind"] == "GlobalSecurityProfile" else {**head, "namespace": namespace}}


def data(secret: dict[str, Any]) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}


def events(team: Team) -> str:
    return team.cluster.kubectl("get", "events.events.k8s.io", "-n", team.namespace, "-o", "jsonpath={.items[*].reason}")
