"""What is to be done about one object of a template: what is wanted and what is there in, one step out.

An object that the template does not control, by UID, is never touched, whatever its name. What the API server fills in by
itself is no difference. The caller carries the step out and reads anew where that fails; nothing here knows a client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller.compile.output import LABELS, Manifest
from crds.problem import Problem


class Action(StrEnum):
    NOTHING = "Nothing"
    CREATE = "Create"
    REPLACE = "Replace"
    DELETE = "Delete"
    LEAVE = "Leave"
    REFUSE = "Refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """LEAVE and REFUSE both touch nothing; REFUSE is to be tried again, since what is wanted is not there."""

    action: Action
    problem: Problem | None = None


def policy_step(wanted: Manifest | None, live: Manifest | None, *, uid: str, take_over: bool = False) -> Step:
    """For a NetworkPolicy. `take_over`: also write what agent-sandbox's own controller made for the same template."""
    if live is None:
        return Step(action=Action.CREATE if wanted else Action.NOTHING)
    if not controlled(live, uid):
        return foreign(wanted, live)
    if not ours(live) and not take_over:
        message = f"NetworkPolicy {name_of(live)} is made by another controller of the template: it is left alone"
        return Step(action=Action.LEAVE, problem=Problem(reason="ManagedElsewhere", message=message, fatal=False))
    if wanted is None:
        return Step(action=Action.DELETE)
    same = ours(live) and not owner_renamed(wanted, live) and comparable(wanted["spec"]) == comparable(live.get("spec"))
    return Step(action=Action.NOTHING if same else Action.REPLACE)


def foreign(wanted: Manifest | None, live: Manifest) -> Step:
    if wanted is None:
        return Step(action=Action.LEAVE)
    message = f"{live.get('kind', 'the object')} {name_of(live)} is not controlled by the SandboxTemplate and is left as it is: delete it"
    return Step(action=Action.REFUSE, problem=Problem(reason="OwnershipConflict", message=message))


def controlled(live: Manifest, uid: str) -> bool:
    """By UID: a template made anew under the same name does not own what the old one left."""
    references = (live.get("metadata") or {}).get("ownerReferences") or []
    return any(reference.get("controller") is True and reference.get("uid") == uid for reference in references)


def owner_renamed(wanted: Manifest, live: Manifest) -> list[Manifest]:
    """What a JSON patch has to change where the owner is named in another version than the one that it is read in."""
    versions = {each["uid"]: each["apiVersion"] for each in wanted["metadata"].get("ownerReferences", ())}
    there = enumerate((live.get("metadata") or {}).get("ownerReferences") or [])
    return [
        {"op": "add", "path": f"/metadata/ownerReferences/{number}/apiVersion", "value": versions[each["uid"]]}
        for number, each in there
        if versions.get(each.get("uid"), each.get("apiVersion")) != each.get("apiVersion")
    ]


def ours(live: Manifest) -> bool:
    labels = (live.get("metadata") or {}).get("labels") or {}
    return LABELS.items() <= labels.items()


def name_of(live: Manifest) -> str:
    return str((live.get("metadata") or {}).get("name", ""))


def comparable(value: Any) -> Any:
    """The same whether written by us or completed by the API server: nothing empty, ports with their default protocol. `{}` stays where
    it says something: it selects everything, while the labels in it say nothing where there are none.
    """
    if isinstance(value, Mapping):
        kept = {key: comparable(item) for key, item in value.items()}
        if isinstance(kept.get("ports"), list):  # a label may be called so as well
            kept["ports"] = [{"protocol": "TCP", **port} for port in kept["ports"]]
        return {key: item for key, item in kept.items() if item is not None and item != [] and (key, item) != ("matchLabels", {})}
    if isinstance(value, list | tuple):
        return [comparable(item) for item in value]
    return value
