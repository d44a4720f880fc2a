"""Brings one unified Secret to the API server: read as it is, compared, and written only where a byte differs.

The Secret holds what must be found again, its CA above all: so it is read before it is compiled, and what could not be read is never
"nothing before". Beside the compiler's keys it keeps `profiles.json`, the versions of the profiles that it was made from: a profile
that does not compile after a restart goes on as it was. A Secret that the template does not control is left as it is.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.as_seen import patch_as_seen
from controller.compile.output import LABELS
from controller.compile.ownership import controlled, foreign, ours, owner_renamed
from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, UnifiedSecret, content_hash
from controller.pace import Pace
from crds.problem import Problem
from daemon.kinds import SECRETS
from daemon.last_good import PROFILES_KEY
from daemon.profile_book import Version
from daemon.secret_reader import values_of
from kube import objects
from kube.client import Client
from kube.errors import NotFound
from kube.objects import Key, Raw

WRITTEN_AT = "groyne.dev/written-at"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """`version` is the Secret's resourceVersion after it was compared or written."""

    version: str
    changed: bool


@dataclass(frozen=True, slots=True)
class SecretWriter:
    client: Client
    pace: Pace

    async def read(self, key: Key) -> Raw | None:
        """As the API server has it, not as a cache remembers it. Raises ApiError where that cannot be had."""
        try:
            return await self.client.get(SECRETS, key)
        except NotFound:
            return None

    async def bring(self, key: Key, wanted: UnifiedSecret, live: Raw | None, *, now: datetime) -> Written:
        """`live` is what `read` answered, and controlled by the template. Raises ApiError, and TooSoon."""
        manifest = wanted.manifest(reveal=True)
        if live is None:
            self.pace.take((SECRETS, key))
            made = await self.client.create(SECRETS, stamped(manifest, now), namespace=key.namespace, metadata_only=True)
            return Written(version=objects.resource_version(made), changed=True)
        if same(manifest, live):
            return Written(version=objects.resource_version(live), changed=False)
        self.pace.take((SECRETS, key))
        made = await patch_as_seen(self.client, SECRETS, key, live, replacing(manifest, live, now))
        return Written(version=objects.resource_version(made), changed=True)

    async def remove(self, key: Key, live: Raw) -> None:
        """Also no more than twice a second."""
        self.pace.take((SECRETS, key))
        await self.client.delete(SECRETS, key, uid=objects.uid_of(live), resource_version=objects.resource_version(live))


def refused(live: Raw | None, uid: str) -> Problem | None:
    """Why this Secret is not ours to write."""
    if live is None or (controlled(live, uid) and ours(live)):
        return None
    return foreign({}, {"kind": "Secret", **live}).problem


def with_profiles(secret: UnifiedSecret, versions: Iterable[Version]) -> UnifiedSecret:
    """The Secret with the versions that it was made from, its hash of all."""
    text = json.dumps([version.source for version in versions], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    data = {**secret.data, PROFILES_KEY: Redacted(text.encode())}
    ordered = {name: data[name] for name in sorted(data)}
    notes = {**secret.metadata.get("annotations", {}), CONTENT_HASH: content_hash(ordered)}
    return UnifiedSecret(metadata={**secret.metadata, "annotations": notes}, data=ordered)


def same(manifest: Raw, live: Raw) -> bool:
    hash_wanted = manifest["metadata"]["annotations"][CONTENT_HASH]
    unchanged = manifest["data"] == live.get("data") and not owner_renamed(manifest, live)
    return bool(unchanged) and objects.annotations(live).get(CONTENT_HASH) == hash_wanted


def stamped(manifest: Raw, now: datetime) -> Raw:
    head = manifest["metadata"]
    return {**manifest, "metadata": {**head, "annotations": {**head["annotations"], WRITTEN_AT: f"{now:%Y-%m-%dT%H:%M:%SZ}"}}}


def replacing(manifest: Raw, live: Raw, now: datetime) -> list[Raw]:
    notes = {**objects.annotations(live), **stamped(manifest, now)["metadata"]["annotations"]}
    return [
        {"op": "add", "path": "/metadata/annotations", "value": notes},
        {"op": "add", "path": "/metadata/labels", "value": {**objects.labels(live), **LABELS}},
        *owner_renamed(manifest, live),
        *data_patch(manifest["data"], live.get("data")),
    ]


def data_patch(wanted: dict[str, str], live: Any) -> list[Raw]:
    """Key by key: most of a Secret stays as it is, the bundle above all. No key has a character that a path would escape."""
    if not isinstance(live, dict):
        return [{"op": "add", "path": "/data", "value": wanted}]
    gone = [{"op": "remove", "path": f"/data/{name}"} for name in live if name not in wanted]
    return gone + [{"op": "add", "path": f"/data/{name}", "value": text} for name, text in wanted.items() if live.get(name) != text]


def decoded(live: Raw | None) -> dict[str, bytes]:
    return values_of(live) if live else {}
