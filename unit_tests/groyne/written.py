"""Short ways to write a directory of manifests and to read it as a workspace, as the commands do."""

import json
from pathlib import Path

from groyne.workspace import Who, Workspace, read_workspace
from unit_tests.policy.profiles import manifest

VALUE = "sk-live-0123456789abcdef"


def secret(name="openai", *, namespace="default", annotations=None, **values):
    metadata = {"name": name, "namespace": namespace, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def template(name="agents", *, namespace="default", labels=None, annotations=None):
    container = {"name": "agent", "image": "agent:1"}
    return {
        "apiVersion": "extensions.agents.x-k8s.io/v1alpha1",
        "kind": "SandboxTemplate",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations or {}},
        "spec": {"podTemplate": {"metadata": {"labels": labels or {}}, "spec": {"containers": [container]}}},
    }


def write(directory: Path, *objects, file="policy.yaml") -> Path:
    """One file with all of `objects`: JSON is YAML, and each object stands in a line."""
    path = directory / file
    path.write_text("\n---\n".join(json.dumps(one) for one in objects))
    return path


def read(directory: Path, *objects, template=None, namespace="default", labels=None, environ=None, **more) -> Workspace:
    if objects:
        write(directory, *objects)
    who = Who(template=template, namespace=namespace, labels=tuple(sorted((labels or {}).items())))
    return read_workspace(directory, who, environ or {}, **more)


def workspace(directory: Path, *rules, key=True, **more) -> Workspace:
    """One profile for everybody, and its Secret where `key`."""
    return read(directory, manifest(*rules), *([secret(apiKey=VALUE)] if key else []), **more)


def reasons(problems):
    return [located.problem.reason for located in problems]
