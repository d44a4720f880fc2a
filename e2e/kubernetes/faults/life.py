"""The life of one template and its profile, in stages; each is a change that people make, and has writes of the controller as its consequence.

`STAGES` are names and what people do. After each, `laws.wrong` says when the controller has caught up.
"""

from collections.abc import Callable, Mapping

from e2e.kubernetes.faults.place import Place, Raw, secret
from unit_tests.controller.raw_objects import profile, rule, template

TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
PORTS = [{"ports": [{"port": 443, "protocol": "TCP"}]}]


def keys(*more: Raw) -> Raw:
    return profile("keys", rules=[rule("key", tokenTransformation=TOKEN), *more])


def created(place: Place) -> None:
    place.apply(secret("key", apiKey="value-1-end"), keys(), template("agent"))


def edited(place: Place) -> None:
    place.apply(keys(rule("paths", "second.example.com")))


def rotated(place: Place) -> None:
    place.apply(secret("key", apiKey="value-2-end"))


def narrowed(place: Place) -> None:
    place.apply(template("agent", networkPolicy={"egress": PORTS}))


def unmanaged(place: Place) -> None:
    place.apply(template("agent", networkPolicyManagement="Unmanaged"))


def unselected(place: Place) -> None:
    place.delete("profile", "keys")


def deleted(place: Place) -> None:
    place.delete("template", "agent")


STAGES: Mapping[str, Callable[[Place], None]] = {
    "created": created,
    "edited": edited,
    "rotated": rotated,
    "narrowed": narrowed,
    "unmanaged": unmanaged,
    "unselected": unselected,
    "deleted": deleted,
}
