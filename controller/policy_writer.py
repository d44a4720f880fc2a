"""Carries out what `compile.ownership` decided about one NetworkPolicy: created by POST, changed and deleted only as it was last seen.

A change is a JSON patch onto the UID and resourceVersion that were seen; it replaces `spec` as a whole. So what others put into labels
and annotations stays, and nothing is written over what has not been seen. What concerns the template stands in an annotation too,
because a SandboxTemplate has no status.
"""

from dataclasses import dataclass

from controller.as_seen import patch_as_seen
from controller.compile.output import LABELS, Manifest
from controller.compile.ownership import Action, controlled, ours, owner_renamed, policy_step
from controller.pace import Pace
from crds.problem import Problem
from daemon.kinds import NETWORK_POLICIES
from kube import objects
from kube.client import Client
from kube.objects import Key, Raw
from kube.store import Store

WARNINGS = "groyne.dev/warnings"
LONGEST_WARNINGS = 2000


@dataclass(frozen=True, slots=True)
class PolicyWriter:
    """`store` holds the NetworkPolicies as the watch has them."""

    client: Client
    store: Store
    pace: Pace
    take_over: bool = False

    async def bring(self, key: Key, wanted: Manifest | None, *, uid: str, warnings: str = "") -> Problem | None:
        """What is to be said about it. Raises ApiError, and TooSoon."""
        live = self.store.get(key)
        step = policy_step(wanted, live, uid=uid, take_over=self.take_over)
        match step.action:
            case Action.CREATE if wanted:
                self.pace.take((NETWORK_POLICIES, key))
                await self.client.create(NETWORK_POLICIES, annotated(wanted, warnings), namespace=key.namespace, metadata_only=True)
            case Action.REPLACE if wanted and live:
                await self._replace(key, wanted, live, warnings)
            case Action.DELETE if live:
                self.pace.take((NETWORK_POLICIES, key))
                version = objects.resource_version(live)
                await self.client.delete(NETWORK_POLICIES, key, uid=objects.uid_of(live), resource_version=version)
            case Action.NOTHING if wanted and live and warned(live) != warnings and controlled(live, uid):
                await self._replace(key, wanted, live, warnings)
        return step.problem

    async def _replace(self, key: Key, wanted: Manifest, live: Raw, warnings: str) -> None:
        self.pace.take((NETWORK_POLICIES, key))
        await patch_as_seen(self.client, NETWORK_POLICIES, key, live, replacing(wanted, live, warnings))


def warned(live: Raw) -> str:
    return objects.annotations(live).get(WARNINGS, "")


def annotated(wanted: Manifest, warnings: str) -> Manifest:
    if not warnings:
        return wanted
    head = wanted["metadata"]
    return {**wanted, "metadata": {**head, "annotations": {**head.get("annotations", {}), WARNINGS: warnings}}}


def replacing(wanted: Manifest, live: Raw, warnings: str) -> list[Raw]:
    kept = {name: text for name, text in objects.annotations(live).items() if name != WARNINGS}
    notes = {**kept, WARNINGS: warnings} if warnings else kept
    labels = [] if ours(live) else [{"op": "add", "path": "/metadata/labels", "value": {**objects.labels(live), **LABELS}}]
    notice = [{"op": "add", "path": "/metadata/annotations", "value": notes}] if notes != objects.annotations(live) else []
    return [*labels, *notice, *owner_renamed(wanted, live), {"op": "replace", "path": "/spec", "value": wanted["spec"]}]


def warnings_text(problems: tuple[Problem, ...]) -> str:
    return "; ".join(f"{problem.reason}: {problem.message}" for problem in problems)[:LONGEST_WARNINGS]
