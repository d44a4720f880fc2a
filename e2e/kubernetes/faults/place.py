"""One opted-in namespace, what its people do there, and what is there now. Asked directly, past every fault.

Objects go in as people write them, by server-side apply; what comes out is raw. It knows nothing of what the controller should make
of them: that is `laws`' business.
"""

import base64
import json
import secrets
from typing import Any

import httpx

from e2e.cluster.control_plane import ControlPlane

Raw = dict[str, Any]
APIS = {
    "template": "/apis/extensions.agents.x-k8s.io/v1beta1/namespaces/{}/sandboxtemplates",
    "profile": "/apis/agents.kruise.io/v1alpha1/namespaces/{}/securityprofiles",
    "policy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "secret": "/api/v1/namespaces/{}/secrets",
    "configmap": "/api/v1/namespaces/{}/configmaps",
    "binding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "event": "/apis/events.k8s.io/v1/namespaces/{}/events",
}
KINDS = {
    "SandboxTemplate": "template",
    "SecurityProfile": "profile",
    "Secret": "secret",
    "NetworkPolicy": "policy",
    "ConfigMap": "configmap",
}
WATCHED = ("template", "profile", "policy", "secret")
BINDING = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "groyne"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "groyne-namespace"},
    "subjects": [{"kind": "ServiceAccount", "namespace": "groyne-system", "name": "groyne-controller"}],
}


class Place:
    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self.http, self.namespace = http, namespace

    @classmethod
    def make(cls, cluster: ControlPlane, name: str = "") -> "Place":
        found = cls(cluster.http(), name or f"faults-{secrets.token_hex(4)}")
        head = {"name": found.namespace, "labels": {"groyne.dev/secrets": "managed"}}
        found.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": head})
        found.bind()
        return found

    def bind(self) -> None:
        """The right to its Secrets."""
        self.ask("POST", APIS["binding"].format(self.namespace), BINDING)

    def apply(self, *objects: Raw) -> None:
        for raw in objects:
            kept = {name: value for name, value in raw["metadata"].items() if name in ("name", "labels", "annotations") and value}
            path = self.path(KINDS[raw["kind"]], kept["name"])
            params = {"fieldManager": "people", "force": "true"}
            self.ask("PATCH", path, {**raw, "metadata": kept}, "application/apply-patch+yaml", **params)

    def patch(self, kind: str, name: str, body: Raw, **params: str) -> None:
        self.ask("PATCH", self.path(kind, name), body, "application/merge-patch+json", **params)

    def delete(self, kind: str, name: str) -> None:
        answer = self.http.delete(self.path(kind, name))
        if answer.status_code != 404:
            answer.raise_for_status()

    def get(self, kind: str, name: str) -> Raw | None:
        answer = self.http.get(self.path(kind, name))
        if answer.status_code == 404:
            return None
        found: Raw = answer.raise_for_status().json()
        return found

    def list(self, kind: str) -> list[Raw]:
        found: list[Raw] = self.http.get(self.path(kind)).raise_for_status().json()["items"]
        return found

    def versions(self) -> dict[tuple[str, str], str]:
        """Of everything that the controller reads or writes here."""
        return {(kind, raw["metadata"]["name"]): raw["metadata"]["resourceVersion"] for kind in WATCHED for raw in self.list(kind)}

    def orphans(self) -> set[tuple[str, str]]:
        """What the garbage collector has yet to take: its owner is gone."""
        there = {raw["metadata"]["uid"] for raw in self.list("template")}
        found = [(kind, raw["metadata"]) for kind in WATCHED for raw in self.list(kind)]
        return {(kind, head["name"]) for kind, head in found if {each["uid"] for each in head.get("ownerReferences", ())} - there}

    def end(self) -> None:
        """A namespace takes its time; what a controller would do in it goes first."""
        for kind in ("template", "profile"):
            self.http.delete(self.path(kind))
        self.http.delete(f"/api/v1/namespaces/{self.namespace}")

    def path(self, kind: str, name: str = "") -> str:
        return APIS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def ask(self, method: str, path: str, body: Raw | None = None, content_type: str = "application/json", **params: str) -> None:
        answer = self.http.request(method, path, content=json.dumps(body), headers={"Content-Type": content_type}, params=params)
        assert answer.is_success, f"{method} {path}: {answer.text}"


def secret(name: str, **values: str) -> Raw:
    data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def values(raw: Raw) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in (raw.get("data") or {}).items()}
