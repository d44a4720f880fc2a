"""The API server's audit log, read: who asked for what, when, and what came of it.

In comes the file that the API server writes, one JSON object a line, out go `Call`s in the order of their end. Bodies are not in it.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Everything, without bodies; a request once it is answered, and a watch when it begins and when it ends.
POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}
_CREDENTIAL = "authentication.kubernetes.io/credential-id"
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`verb` is RBAC's: get, list, watch, create, update, patch, delete, deletecollection. `resource` is empty for other paths.

    `credential` tells processes apart that share an account: `JTI=` and the id of the token, where it was one.
    """

    began: dt.datetime
    ended: dt.datetime
    stage: str
    user: str
    user_agent: str
    credential: str
    verb: str
    path: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int

    @property
    def writes(self) -> bool:
        return self.verb in _WRITES

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()


def read(path: Path) -> list[Call]:
    return [_call(event) for event in _events(path)]


def _events(path: Path) -> Iterator[dict[str, Any]]:
    """A line that is being written is left for the next time."""
    if not path.exists():
        return
    with path.open() as lines:
        for line in lines:
            if line.endswith("\n"):
                yield json.loads(line)


def _call(event: dict[str, Any]) -> Call:
    about = event.get("objectRef", {})
    return Call(
        began=dt.datetime.fromisoformat(event["requestReceivedTimestamp"]),
        ended=dt.datetime.fromisoformat(event["stageTimestamp"]),
        stage=event["stage"],
        user=event["user"].get("username", ""),
        user_agent=event.get("userAgent", ""),
        credential=next(iter(event["user"].get("extra", {}).get(_CREDENTIAL, ())), ""),
        verb=event["verb"],
        path=event["requestURI"],
        group=about.get("apiGroup", ""),
        resource=about.get("resource", ""),
        subresource=about.get("subresource", ""),
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
    )
