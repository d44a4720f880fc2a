"""Kubeconfig files: where a cluster is, whom we trust, and who we are. Certificates and keys are held within, so that a file stands alone.

They are written as JSON, which is YAML too, and read by kubectl, which knows every form that others write.
"""

import base64
import json
from pathlib import Path
from typing import Any

from e2e.cluster.kubectl import kubectl
from e2e.cluster.pki import Pair


def by_certificate(path: Path, *, server: str, authority: Path, pair: Pair) -> Path:
    user = {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}
    return _write(path, {"server": server, "certificate-authority-data": _encoded(authority)}, user, "default")


def by_token(path: Path, origin: Path, *, token: str, namespace: str) -> Path:
    """The cluster of another kubeconfig, as whoever the token is."""
    return _write(path, current(origin, "cluster"), {"token": token}, namespace)


def elsewhere(path: Path, origin: Path, *, server: str, authority: Path) -> Path:
    """The same identity, by way of another server: a proxy."""
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    return _write(path, cluster, current(origin, "user"), current(origin, "context").get("namespace", "default"))


def current(path: Path, what: str) -> dict[str, Any]:
    """The `cluster`, `user` or `context` that a kubeconfig means where nothing else is said."""
    config = json.loads(kubectl(path, "config", "view", "--raw", "--minify", "--flatten", "--output", "json"))
    found: dict[str, Any] = config[f"{what}s"][0][what]
    return found


def _write(path: Path, cluster: dict[str, Any], user: dict[str, Any], namespace: str) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": "e2e", "user": user}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e", "namespace": namespace}}],
        "current-context": "e2e",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config))
    return path


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
