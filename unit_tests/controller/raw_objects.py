"""Raw objects as the API server would give them, for the tests of the controller."""

import base64
from typing import Any

from policy.template_hashes import name_hash

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


def injecting(name: str = "keys", *, owner: str = "", **more: Any) -> Raw:
    """A profile whose one rule puts a credential in, out of a Secret of its own namespace or of `owner`."""
    named = {"name": "key", **({"namespace": owner} if owner else {})}
    token = {"credentialRef": {"secret": named}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return profile(name, rules=[rule("key", tokenTransformation=token)], **more)


def secret(name: str = "key", namespace: str = "team-a", *, annotations: dict[str, str] | None = None, **values: str) -> Raw:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in (values or {"apiKey": "first-value"}).items()}
    head = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": head, "data": data}


def pod(name: str = "pod", namespace: str = "team-a", *, of: str = "python", **head: Any) -> Raw:
    labels = {"agents.x-k8s.io/sandbox-template-ref-hash": name_hash(of)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels, **head}, "spec": {}}
