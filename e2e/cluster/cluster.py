"""Any cluster, however it came: what a kubeconfig leads to, asked with kubectl as users have it and with an independent client.

In comes an administrator's kubeconfig. It must not know who started the cluster, nor whether it can be broken.
"""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pykube

from e2e.cluster import kubeconfig as files
from e2e.cluster.kubectl import kubectl
from e2e.cluster.missing import Missing

_TOKEN_SECONDS = 24 * 3600


class Cluster:
    """`kubeconfig` is the administrator's; `directory` holds those of others."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        self.kubeconfig = kubeconfig
        self.directory = directory

    @cached_property
    def api(self) -> pykube.HTTPClient:
        return self.api_as(self.kubeconfig)

    @staticmethod
    def api_as(kubeconfig: Path) -> pykube.HTTPClient:
        return pykube.HTTPClient(pykube.KubeConfig.from_file(str(kubeconfig)))

    def kubectl(self, *arguments: str, input: str | None = None, check: bool = True) -> str:  # noqa: A002 - as subprocess.run has it
        """What it printed. Raises RuntimeError with what it said; without `check`, that is given back."""
        return kubectl(self.kubeconfig, *arguments, given=input, check=check)

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … --output json`, read. Of several objects it makes a list of its own, without a resourceVersion."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Server-side, as one list."""
        body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", input=body)

    def load(self, archive: Path, name: str) -> str:
        """Makes an image there from an OCI archive, and says how pods call it. Raises Missing where that cannot be done."""
        raise Missing(
            f"an image cannot be loaded into a cluster that is not ours ({name})", "push it, and name it: E2E_IMAGE=REGISTRY/NAME:TAG"
        )

    def kubeconfig_for(self, service_account: str, namespace: str = "default") -> Path:
        """A kubeconfig under that account's own token, from a TokenRequest: its rights are what RBAC gives it, and no more."""
        token = self.kubectl("create", "token", service_account, "--namespace", namespace, f"--duration={_TOKEN_SECONDS}s").strip()
        path = self.directory / f"{namespace}.{service_account}.conf"
        return files.by_token(path, self.kubeconfig, token=token, namespace=namespace)
