"""Raw objects as the API server would give them, for the tests of the controller."""

from typing import Any

Raw = dict[str, Any]


def template(name: str = "python", namespace: str = "team-a", *, labels: dict[str, str] | None = None, uid: str = "", **spec: Any) -> Raw:
    pod = {"metadata": {"labels": labels or {"app": "agent"}}, "spec": {"containers": [{"name": "agent", "image": "agent"}]}}
    head = {"name": name, "namespace": namespace, "uid": uid or f"uid-{namespace}-{name}", "generation": 1, "resourceVersion": "1"}
    return {
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
        "kind": "SandboxTemplate",
        "metadata": head,
        "spec": {"podTemplate": pod, **spec},
    }


def rule(name: str = "no-uploads", domain: str = "api.example.com", **actions: Any) -> Raw:
    return {"name": name, "match": [{"domains": [domain]}], "actions": actions or {"block": {}}}


def profile(
    name: str = "limits", namespace: str = "team-a", *, labels: dict[str, str] | None = None, rules: list[Raw] | None = None, **more: Any
) -> Raw:
    head = {
        "name": name,
        "namespace": namespace,
        "uid": more.pop("uid", f"uid-{namespace}-{name}"),
        "generation": more.pop("generation", 1),
        "resourceVersion": more.pop("version", "1"),
        "annotations": more.pop("annotations", {}),
    }
    selector = {"matchLabels": labels if labels is not None else {"app": "agent"}}
    return {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": "SecurityProfile",
        "metadata": head,
        "spec": {"selector": selector, "rules": rules or [rule()], **more},
    }


def global_profile(name: str = "house", **more: Any) -> Raw:
    made = profile(name, "", **more)
    del made["metadata"]["namespace"]
    return {**made, "kind": "GlobalSecurityProfile"}
