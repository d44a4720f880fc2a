"""What has to hold in a place, read naively off its objects: what is wrong at this moment, and what a controller may write at all.

It shares no code with the controller but the label's name and hash. Whether each byte is right is for a fresh `--once` to say, which
then writes nothing; this says what no program has to be believed for.
"""

import re
from collections.abc import Iterable

from e2e.cluster.faults import Asked
from e2e.kubernetes.faults.place import Place, Raw, values
from policy.template_hashes import HASH_LABEL, name_hash

VALUE = re.compile(r"value-\d+-end")
OWNED = {"networkpolicies": ("-network-policy", "-groyne"), "secrets": ("-egress", "-ca")}


def wrong(place: Place) -> list[str]:
    """What is not as it should be, in words; nothing once all is done."""
    kinds = {kind: {raw["metadata"]["name"]: raw for raw in place.list(kind)} for kind in ("template", "profile", "policy", "secret")}
    found: list[str] = []
    for name, template in kinds["template"].items():
        found += wrong_label(name, template)
        found += wrong_policy(name, template, kinds["policy"].get(f"{name}-network-policy"))
        selecting = [raw for raw in kinds["profile"].values() if selects(raw, template)]
        found += wrong_secret(name, template, kinds["secret"], selecting)
    found += [f"orphan {each}" for each in orphans(kinds)]
    for raw in kinds["profile"].values():
        used = any(selects(raw, template) for template in kinds["template"].values())
        missing = [name for name in credentials([raw]) if used and name not in kinds["secret"]]
        found += wrong_status(raw, resolved=not missing)
    return found


def wrong_label(name: str, template: Raw) -> list[str]:
    return [] if template["metadata"].get("labels", {}).get(HASH_LABEL) == name_hash(name) else [f"template {name} has no label"]


def wrong_policy(name: str, template: Raw, policy: Raw | None) -> list[str]:
    if template["spec"].get("networkPolicyManagement") == "Unmanaged":
        return [f"policy of {name} is there"] if policy else []
    if policy is None:
        return [f"policy of {name} lacks"]
    if not owned(policy, template):
        return [f"policy of {name} belongs to another"]
    said = (template["spec"].get("networkPolicy") or {}).get("egress")
    return [f"policy of {name} says something else"] if said is not None and ports(policy["spec"].get("egress")) != ports(said) else []


def ports(egress: list[Raw] | None) -> list[int]:
    return [each["port"] for rule in egress or [] for each in rule.get("ports", [])]


def wrong_secret(name: str, template: Raw, secrets: dict[str, Raw], selecting: list[Raw]) -> list[str]:
    live = secrets.get(f"{name}-egress")
    if not selecting:
        return [f"secret {each} is there" for each in (f"{name}-egress", f"{name}-ca") if each in secrets]
    if live is None:
        return [f"secret of {name} lacks"]
    if not owned(live, template):
        return [f"secret of {name} belongs to another"]
    text = "\n".join(values(live).values())
    found = [f"secret of {name} lacks {each}" for each in domains(selecting) if each not in text]
    for credential in credentials(selecting):
        key = secrets.get(credential)
        current = values(key)["apiKey"] if key else None
        if current is not None and current not in text:
            found.append(f"secret of {name} lacks the value of {credential}")
        if withdrawn(text, current):
            found.append(f"secret of {name} holds a value that was taken away")
    return found


def withdrawn(text: str, current: str | None) -> bool:
    """Whether there is another value than the one that is. They look like `value-N-end`."""
    return any(value != current for value in VALUE.findall(text))


def wrong_status(profile: Raw, *, resolved: bool) -> list[str]:
    name, conditions = profile["metadata"]["name"], (profile.get("status") or {}).get("conditions", [])
    if not conditions:
        return [f"profile {name} has no status"]
    late = [each["type"] for each in conditions if each["observedGeneration"] != profile["metadata"]["generation"]]
    undone = [each["reason"] for each in conditions if each["type"] == "Programmed" and each["status"] != "True"]
    undone += [each["reason"] for each in conditions if each["type"] == "ResolvedRefs" and each["status"] != str(resolved)]
    return [f"profile {name}: late {late}, undone {undone}"] if late or undone else []


def orphans(kinds: dict[str, dict[str, Raw]]) -> list[str]:
    uids = {raw["metadata"]["uid"] for raw in kinds["template"].values()}
    things = [*kinds["policy"].values(), *kinds["secret"].values()]
    return [raw["metadata"]["name"] for raw in things if (owner := owner_of(raw)) and owner not in uids]


def owner_of(raw: Raw) -> str | None:
    return next((each["uid"] for each in raw["metadata"].get("ownerReferences", []) if each.get("controller")), None)


def owned(raw: Raw, template: Raw) -> bool:
    return owner_of(raw) == template["metadata"]["uid"]


def selects(profile: Raw, template: Raw) -> bool:
    wanted = (profile["spec"]["selector"].get("matchLabels") or {}).items()
    return wanted <= template["spec"]["podTemplate"]["metadata"]["labels"].items()


def domains(profiles: Iterable[Raw]) -> list[str]:
    return [domain for raw in profiles for rule in raw["spec"]["rules"] for match in rule["match"] for domain in match["domains"]]


def credentials(profiles: Iterable[Raw]) -> list[str]:
    rules = (rule for raw in profiles for rule in raw["spec"]["rules"])
    return [
        rule["actions"]["tokenTransformation"]["credentialRef"]["secret"]["name"]
        for rule in rules
        if "tokenTransformation" in rule["actions"]
    ]


def outside(asked: Iterable[Asked]) -> list[str]:
    """Writes of what is nobody's business but others'."""
    return [
        f"{each.verb} {each.resource}/{each.subresource} {each.namespace}/{each.name}" for each in asked if each.writes and not may(each)
    ]


def may(asked: Asked) -> bool:
    match asked.resource:
        case "events" | "leases":
            return asked.verb in ("create", "patch", "update")
        case "sandboxtemplates":
            return asked.verb == "patch" and not asked.subresource
        case "securityprofiles" | "globalsecurityprofiles":
            return asked.verb == "patch" and asked.subresource == "status"
        case "networkpolicies" | "secrets":
            return asked.verb == "create" or asked.name.endswith(OWNED[asked.resource])
    return False
