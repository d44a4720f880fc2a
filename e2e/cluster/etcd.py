"""What a test does to etcd behind the API server's back, over etcd's own JSON gateway: its history is forgotten up to now, or an
object is put there that no API server would take.
"""

import base64
import json
from typing import Any

import httpx


def compact(address: str) -> int:
    """Forgets all revisions before the present one, which is given back: who asks the store for an older one gets 410 Expired."""
    found = _post(f"{address}/v3/kv/range", {"key": base64.b64encode(b"groyne").decode()})
    revision = int(found["header"]["revision"])
    _post(f"{address}/v3/kv/compaction", {"revision": str(revision), "physical": True})
    return revision


def put(address: str, key: str, raw: dict[str, Any]) -> None:
    """`key` is as the API server has it, e.g. `/registry/secrets/NAMESPACE/NAME`. It reads JSON too, and tells who watches."""
    encoded = {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(json.dumps(raw).encode()).decode()}
    _post(f"{address}/v3/kv/put", encoded)


def full(address: str, *, now: bool) -> None:
    """With the alarm that it raises at its quota nothing can be put any more, and things can be deleted."""
    _post(f"{address}/v3/maintenance/alarm", {"action": "ACTIVATE" if now else "DEACTIVATE", "alarm": "NOSPACE"})


def healthy(address: str) -> bool:
    try:
        return bool(httpx.get(f"{address}/health", timeout=1, trust_env=False).json()["health"] == "true")
    except httpx.TransportError:
        return False


def _post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(url, json=body, timeout=10, trust_env=False)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
