"""What the controller has made of the users' objects, in a form in which two servers can be compared, and a copy of those objects.

Left out is what two runs never have alike: names that the server gives (uids, versions, generations), times, keys and certificates; of
these it is said which there are, for which names, and that they fit each other.
"""

import base64
import copy
import json
from typing import Any

from cryptography import x509

from controller.compile.output import LABELS
from daemon.kinds import (
    GLOBAL_PROFILES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    PROFILES,
    SECRETS,
    SERVICE_CIDRS,
    SERVICES,
    TEMPLATES,
)
from daemon.last_good import PROFILES_KEY
from kube.objects import Key, Raw, key_of, labels, uid_of
from unit_tests.kube.fake_storage import Storage

THEIRS = (NAMESPACES, NODES, SERVICE_CIDRS, SERVICES, TEMPLATES, PROFILES, GLOBAL_PROFILES, SECRETS, NETWORK_POLICIES)
"""An owner stands before what it owns."""
CERTIFICATES = ("ca", "ca-next", "leaf-", "ca-bundle", "sds-leaf-")
State = dict[str, Any]


def ours(raw: Raw) -> bool:
    return LABELS.items() <= labels(raw).items()


def state(storage: Storage, *, closed: frozenset[str] = frozenset()) -> State:
    """`closed`: namespaces whose Secrets nobody looks after."""
    owners = {uid_of(raw): key_of(raw).name for raw in storage.objects(TEMPLATES).values()}
    made: State = {f"label of {key}": labels(raw) for key, raw in storage.objects(TEMPLATES).items()}
    for key, raw in storage.objects(NETWORK_POLICIES).items():
        made[f"policy {key}"] = [raw["spec"], labels(raw), warnings(raw), owner(raw, owners)]
    for key, raw in storage.objects(SECRETS).items():
        if ours(raw) and key.namespace not in closed:
            authority = storage.get(SECRETS, Key(key.namespace, key.name.removesuffix("-egress") + "-ca"))
            made[f"secret {key}"] = [contents(raw, authority), labels(raw), owner(raw, owners)]
    for resource in (PROFILES, GLOBAL_PROFILES):
        made |= {f"status of {resource} {key}": status(raw) for key, raw in storage.objects(resource).items()}
    return made


def owner(raw: Raw, owners: dict[str, str]) -> list[str]:
    return [owners.get(each["uid"], "nobody") for each in raw["metadata"].get("ownerReferences", [])]


def warnings(raw: Raw) -> Any:
    return raw["metadata"].get("annotations", {})


def status(raw: Raw) -> Any:
    """Conditions without their times; a generation as whether it is the object's."""
    found = copy.deepcopy(raw.get("status")) or {}
    for each in (found, *found.get("conditions", ())):
        each["observedGeneration"] = each.get("observedGeneration") == raw["metadata"]["generation"]
        each.pop("lastTransitionTime", None)
    return found


def values(raw: Raw) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in raw["data"].items()}


def contents(raw: Raw, authority: Raw | None) -> dict[str, Any]:
    """Of the CA's own Secret, which files there are."""
    found: dict[str, Any] = values(raw)
    if key_of(raw).name.endswith("-ca"):
        return dict.fromkeys(found, "there")
    fits(found, values(authority) if authority else {})
    for name, text in list(found.items()):
        if name.startswith(CERTIFICATES):
            found[name] = sorted(sans(text)) if name.startswith("leaf-") and name.endswith(".crt") else "there"
    found[PROFILES_KEY] = [without_uid(each) for each in json.loads(found[PROFILES_KEY])]
    return found


def without_uid(source: Raw) -> Raw:
    return {**source, "metadata": {name: value for name, value in source["metadata"].items() if name not in ("uid", "generation")}}


def sans(pem: str) -> list[str]:
    found = x509.load_pem_x509_certificate(pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(each.value) for each in found.value]


def fits(found: dict[str, str], authority: dict[str, str]) -> None:
    """Every leaf is signed by the CA, whose key is elsewhere, and the bundle trusts it."""
    assert found.get("ca.crt") == authority.get("ca.crt")
    assert "ca.key" not in found
    if "ca.crt" not in found:
        assert not [name for name in found if name.startswith(CERTIFICATES)], "without a CA there is nothing that it signed"
        return
    ca = x509.load_pem_x509_certificate(found["ca.crt"].encode())
    assert found["ca.crt"].strip() in found["ca-bundle.crt"]
    for name, text in found.items():
        if name.startswith("leaf-") and name.endswith(".crt"):
            x509.load_pem_x509_certificates(text.encode())[0].verify_directly_issued_by(ca)


def theirs(storage: Storage) -> list[Raw]:
    """What users wrote, as they would write it into an empty cluster."""
    found = (raw for resource in THEIRS for raw in storage.objects(resource).values())
    return [written(raw) for raw in found if not ours(raw)]


def written(raw: Raw) -> Raw:
    head = {name: raw["metadata"][name] for name in ("name", "namespace", "annotations", "ownerReferences") if name in raw["metadata"]}
    kept = {name: text for name, text in labels(raw).items() if not name.startswith("agents.x-k8s.io/")}
    return {name: value for name, value in raw.items() if name != "status"} | {"metadata": {**head, "labels": kept}}


def copied(raws: list[Raw], storage: Storage, by_kind: dict[str, Any]) -> None:
    """Owners are found again by name."""
    for raw in raws:
        made = copy.deepcopy(raw)
        for each in made["metadata"].get("ownerReferences", ()):
            there = storage.get(TEMPLATES, Key(made["metadata"]["namespace"], each["name"]))
            each["uid"] = there["metadata"]["uid"] if there else "gone"
        storage.create(by_kind[made["kind"]], made)


def untouched(storage: Storage) -> State:
    """What no controller of ours may change: what users wrote, and pods but for the one annotation."""
    found = {f"{raw['kind']} {key_of(raw)}": raw for raw in theirs(storage)}
    for key, raw in storage.objects(PODS).items():
        notes = {name: text for name, text in raw["metadata"].get("annotations", {}).items() if name != "groyne.dev/egress-revision"}
        found[f"Pod {key}"] = {**raw, "metadata": {**raw["metadata"], "annotations": notes, "resourceVersion": ""}}
    return found
