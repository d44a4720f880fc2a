"""Objects that bypassed admission: whatever they hold, all others are looked after as ever, and where a status can be written it says why.

The kinds' definitions here let everything pass, and what not even those let pass is put into etcd itself. Beside the named cases are some
hundred mutations of good objects, by seed. Good objects lie among them: selected by the same profiles, in the same namespace.
"""

import base64
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from e2e.cluster import ControlPlane, etcd
from e2e.kubernetes import publications
from e2e.kubernetes.controller_process import ROOT, Replica, established, install, running
from e2e.kubernetes.poison import Raw, mutations, permissive
from e2e.kubernetes.team import Team, data, written
from e2e.support.waiting import until
from unit_tests.controller.raw_objects import global_profile, profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
TEAM = "team-a"
SEED, MUTATIONS = 20261121, 100
PUBLISHED = Path(__file__).parent / "published"
QUICK = 10.0
TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
DEEP: Any = json.loads('{"a":' * 200 + "1" + "}" * 200)
PROFILES, TEMPLATES = "agents.kruise.io/securityprofiles", "extensions.agents.x-k8s.io/sandboxtemplates"


@pytest.fixture(scope="module")
def world(breakable: ControlPlane) -> ControlPlane:
    install(breakable)
    definitions = publications.crds(ROOT / "kustomize")
    definitions["SandboxTemplate"] = publications.in_both_versions(definitions["SandboxTemplate"])
    breakable.apply(*(permissive(each) for each in definitions.values()))
    established(breakable)
    breakable.kubectl("create", "namespace", TEAM)
    return breakable


@pytest.fixture(scope="module")
def replica(world: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(world, tmp_path_factory.mktemp("poisoned") / "replica.log") as found:
        yield found


@pytest.fixture(scope="module")
def team(world: ControlPlane, replica: Replica) -> Team:
    """Good objects of which the last test of the module wants to see that they are still looked after."""
    team = Team(world, TEAM)
    team.opt_in()
    good = profile("good", rules=[rule("key", tokenTransformation=TOKEN)])
    team.apply(team.secret("key", apiKey="first-value"), template("good"), good)
    team.wait("secret", "good-egress", lambda found: "first-value" in json.dumps(data(found)))
    return team


@pytest.fixture(autouse=True)
def others_go_on(team: Team, replica: Replica) -> Iterator[None]:
    """After each case: a template made now has its policy and Secret, a credential changed now is where it belongs, nothing has failed."""
    yield
    mark = f"{time.monotonic_ns():x}"
    team.apply(template(f"after-{mark}"), team.secret("key", apiKey=f"value-{mark}"))
    for name in (f"after-{mark}", "good"):
        until(
            lambda name=name: f"value-{mark}" in json.dumps(data(team.get("secret", f"{name}-egress") or {"data": {}})),
            f"Secret of {name}",
            QUICK,
        )
    assert team.get("networkpolicy", f"after-{mark}-network-policy")
    team.delete("sandboxtemplate", f"after-{mark}")
    assert failures(replica) == []


def failures(replica: Replica) -> list[str]:
    """What was said of errors that nobody had thought of."""
    return [line for line in replica.said().splitlines() if '"level": "error"' in line or "Traceback" in line]


SPECS: dict[str, Any] = {
    "null": None,
    "text": "text",
    "list": [],
    "number": 7,
    "empty": {},
    "deep": DEEP,
    "selector-null": {"selector": None, "rules": []},
    "selector-list": {"selector": [], "rules": []},
    "selector-key": {"selector": {"matchLabels": {"not a key": "x", "ok": 7}}, "rules": []},
    "selector-value": {"selector": {"matchLabels": {"app": "x" * 64}}, "rules": []},
    "selector-operator": {"selector": {"matchExpressions": [{"key": "app", "operator": "Near", "values": ["x"]}]}, "rules": []},
    "selector-values": {"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": None}]}, "rules": []},
    "rules-null": {"selector": {"matchLabels": {"app": "agent"}}, "rules": None},
    "rules-map": {"selector": {"matchLabels": {"app": "agent"}}, "rules": {"0": {}}},
    "rules-of-nothing": {"selector": {"matchLabels": {"app": "agent"}}, "rules": [None, 1, "x", [], {}]},
    "names-alike": {"selector": {"matchLabels": {"app": "agent"}}, "rules": [rule("same"), rule("same")]},
    "domain-number": {"selector": {"matchLabels": {"app": "agent"}}, "rules": [{"name": "r", "match": [{"domains": [7]}], "actions": {}}]},
    "regex": {
        "selector": {"matchLabels": {"app": "agent"}},
        "rules": [
            {"name": "r", "match": [{"domains": ["a.example"], "paths": [{"type": "Regex", "value": "(((("}]}], "actions": {"block": {}}}
        ],
    },
    "unknown-enum": {
        "selector": {"matchLabels": {"app": "agent"}},
        "rules": [rule("r", tokenTransformation={**TOKEN, "type": "Nonsense", "failStrategy": "Perhaps"})],
    },
    "priority-huge": {"selector": {"matchLabels": {"app": "agent"}}, "priority": 2**62, "rules": []},
    "priority-text": {"selector": {"matchLabels": {"app": "agent"}}, "priority": "high", "rules": []},
    "many-rules": {"selector": {"matchLabels": {"app": "agent"}}, "rules": [rule(f"r{number}") for number in range(2000)]},
}


@pytest.mark.parametrize("kind", ["SecurityProfile", "GlobalSecurityProfile"])
def test_a_profile_whose_spec_is_anything_is_told_so(team: Team, kind: str):
    made = {}
    for name, spec in SPECS.items():
        raw = profile(name) if kind == "SecurityProfile" else global_profile(name)
        made[name] = {**raw, "spec": spec}
    try:
        create(team, *made.values())
        until(lambda: all_judged(team, kind) >= made.keys(), lambda: f"judged: {made.keys() - all_judged(team, kind)}", QUICK)
        found = team.cluster.get(kind.lower(), "--namespace", team.namespace)["items"]
        refused = {each["metadata"]["name"] for each in found if judgement(each)[0] == "False"}
        assert refused >= made.keys() - {"many-rules", "names-alike", "rules-null", "empty", "priority-huge", "selector-null"}
    finally:
        remove(team, kind, *made)


def create(team: Team, *objects: Raw) -> None:
    """As they are: kubectl would look at them first."""
    for raw in objects:
        version, plural = raw["apiVersion"], f"{raw['kind'].lower()}s"
        space = None if raw["kind"].startswith("Global") else team.namespace
        answer = team.cluster.api.post(version=version, namespace=space, url=plural, data=json.dumps(written(raw, team.namespace)))
        assert answer.ok, answer.text


def all_judged(team: Team, kind: str) -> set[str]:
    found = team.cluster.get(kind.lower(), "--namespace", team.namespace)["items"]
    return {each["metadata"]["name"] for each in found if judgement(each)[0] in ("True", "False")}


def judged(team: Team, kind: str, name: str) -> None:
    until(
        lambda: accepted(team, kind, name)[0] in ("True", "False"),
        lambda: f"{kind} {name} is judged: {team.get(kind.lower(), name)}",
        QUICK,
    )


def accepted(team: Team, kind: str, name: str) -> tuple[str, str]:
    return judgement(team.get(kind.lower(), name) or {"metadata": {}})


def judgement(raw: Raw) -> tuple[str, str]:
    """Whether the present generation is accepted, and what is said of that."""
    status = raw.get("status")
    conditions = status.get("conditions") if isinstance(status, dict) else None
    wanted = {"type": "Accepted", "observedGeneration": raw["metadata"].get("generation")}
    now = [each for each in conditions if isinstance(each, dict) and wanted.items() <= each.items()] if isinstance(conditions, list) else []
    return (now[0]["status"], now[0]["message"]) if now else ("", "")


def remove(team: Team, kind: str, *names: str) -> None:
    team.cluster.kubectl("delete", kind.lower(), *names, "-n", team.namespace, "--wait=false", "--ignore-not-found")


TEMPLATE_SPECS: dict[str, Any] = {
    "null": None,
    "text": "text",
    "list": [],
    "deep": {"podTemplate": DEEP},
    "pod-null": {"podTemplate": None},
    "pod-list": {"podTemplate": []},
    "labels-list": {"podTemplate": {"metadata": {"labels": ["app"]}, "spec": {}}},
    "labels-numbers": {"podTemplate": {"metadata": {"labels": {"app": 7, "not a key": "x"}}, "spec": {}}},
    "annotations-text": {"podTemplate": {"metadata": {"annotations": "x"}, "spec": {}}},
    "management": {"podTemplate": {"spec": {}}, "networkPolicyManagement": "Perhaps"},
    "management-null": {"podTemplate": {"spec": {}}, "networkPolicyManagement": None},
    "policy-text": {"podTemplate": {"spec": {}}, "networkPolicy": "open"},
    "policy-rules": {"podTemplate": {"spec": {}}, "networkPolicy": {"egress": [None, 7], "ingress": {"a": 1}}},
    "policy-cidr": {"podTemplate": {"spec": {}}, "networkPolicy": {"egress": [{"to": [{"ipBlock": {"cidr": "300.1.2.3/99"}}]}]}},
    "policy-port": {
        "podTemplate": {"spec": {}},
        "networkPolicy": {"egress": [{"ports": [{"port": 0}, {"port": "no port!", "protocol": "ICMP"}]}]},
    },
    "policy-peer": {
        "podTemplate": {"spec": {}},
        "networkPolicy": {"egress": [{"to": [{}, {"podSelector": {"matchLabels": {"not a key": "x"}}}]}]},
    },
    "policy-selector": {
        "podTemplate": {"spec": {}},
        "networkPolicy": {"ingress": [{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}]}]},
    },
    "policy-unknown": {"podTemplate": {"spec": {}}, "networkPolicy": {"podSelector": {}, "policyTypes": ["Sideways"]}},
}


def test_a_template_whose_spec_is_anything_has_its_policy_or_an_event(team: Team):
    names = [f"bad-{name}" for name in TEMPLATE_SPECS]
    try:
        create(team, *({**template(f"bad-{name}"), "spec": spec} for name, spec in TEMPLATE_SPECS.items()))
        until(lambda: looked_after(team) >= set(names), lambda: f"a policy or an Event: {set(names) - looked_after(team)}", QUICK)
        until(lambda: "NetworkPolicyRefused" in reasons(team, "bad-policy-selector"), "what the API server refuses is said", QUICK)
    finally:
        remove(team, "SandboxTemplate", *names)


def looked_after(team: Team) -> set[str]:
    """Templates that have a policy, or an Event that says why not."""
    policies = team.cluster.get("networkpolicies", "--namespace", team.namespace)["items"]
    return {each["metadata"]["name"].removesuffix("-network-policy") for each in policies} | warned(team)


def warned(team: Team) -> set[str]:
    return {each["regarding"]["name"] for each in warnings(team)}


def reasons(team: Team, name: str) -> set[str]:
    return {each["reason"] for each in warnings(team) if each["regarding"]["name"] == name}


def warnings(team: Team) -> list[Raw]:
    found = team.cluster.get("events.events.k8s.io", "--namespace", team.namespace)["items"]
    return [each for each in found if each["type"] == "Warning" and each["regarding"]["kind"] == "SandboxTemplate"]


@pytest.mark.parametrize("source", ["profiles", "templates"])
def test_mutations_of_good_objects_stop_nothing(team: Team, source: str):
    """Each is judged, and some are good by chance."""
    random = Random(SEED)
    goods = [
        each
        for found in publications.publications(PUBLISHED, everything=False)
        for each in found.documents
        if found.name == f"{source}.yaml"
    ]
    mutants = [
        {**raw, "metadata": {**raw["metadata"], "name": f"mutant-{number}-{index}", "namespace": TEAM}}
        for number, good in enumerate(goods)
        for index, raw in enumerate(islice(mutations(good, random), MUTATIONS // len(goods)))
    ]
    try:
        create(team, *mutants)
        templates = {raw["metadata"]["name"] for raw in mutants if raw["kind"] == "SandboxTemplate" and not unmanaged(raw)}
        until(lambda: looked_after(team) >= templates, lambda: f"a policy or an Event: {templates - looked_after(team)}", QUICK)
        for kind in ("SecurityProfile", "GlobalSecurityProfile"):
            names = {raw["metadata"]["name"] for raw in mutants if raw["kind"] == kind}
            until(lambda kind=kind, names=names: not names - all_judged(team, kind), lambda: "all are judged", QUICK)
    finally:
        for kind in sorted({raw["kind"] for raw in mutants}):
            remove(team, kind, *(raw["metadata"]["name"] for raw in mutants if raw["kind"] == kind))


def unmanaged(raw: Raw) -> bool:
    return isinstance(raw.get("spec"), dict) and raw["spec"].get("networkPolicyManagement") == "Unmanaged"


LARGE = "x" * 1_000_000


def test_what_only_etcd_would_take(team: Team):
    """Annotations of a megabyte, labels that are none, a name that is none, data that is no text: behind the API server's back.

    It refuses every change of an object whose metadata is not valid, of its status too: of these there is nothing but the log.
    """
    notes = {"groyne.dev/passthrough-domains": "a..b,,\u0000", "groyne.dev/ca-secret": "No Name", "groyne.dev/unknown": "?"}
    oddities = {
        "large": {"annotations": {"note": "x" * 1_000_000}},
        "labelled": {"labels": {"not a key": "not a value!", "": "x" * 100}},
        "noted": {"annotations": notes},
        "Not_A_Name": {},
    }
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"not a key!": base64.b64encode(b"\xff").decode()}}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"policyTypes": ["Sideways"]}}
    for name, more in oddities.items():
        store(team, PROFILES, profile(name), name, more)
        store(team, TEMPLATES, template(name), name, more)
    store(team, "secrets", secret, "strange", {"labels": {"x y": "z"}})
    store(team, "networkpolicies", policy, "good-groyne", {})
    try:
        judged(team, "SecurityProfile", "noted")
        until(lambda: {"noted", "large", "labelled"} <= looked_after(team), "their templates", QUICK)
    finally:
        remove(team, "SecurityProfile", *oddities)
        remove(team, "SandboxTemplate", *oddities)


def store(team: Team, resource: str, raw: Raw, name: str, more: Raw) -> None:
    cluster = team.cluster
    assert isinstance(cluster, ControlPlane)
    etcd.put(cluster.place.etcd, f"/registry/{resource}/{TEAM}/{name}", {**raw, "metadata": head(name, **more)})


def head(name: str, **more: Any) -> Raw:
    uid = f"00000000-0000-4000-8000-{abs(hash(name)) % 10**12:012d}"
    return {"name": name, "namespace": TEAM, "uid": uid, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", **more}


CREDENTIALS: dict[str, dict[str, Any]] = {
    "no data at all": {},
    "another key": {"data": {"other": base64.b64encode(b"x").decode()}},
    "not UTF-8": {"data": {"apiKey": base64.b64encode(b"\xff\xfe").decode()}},
    "line breaks": {"stringData": {"apiKey": "a\r\nX-Evil: 1"}},
    "empty": {"stringData": {"apiKey": ""}},
    "almost too large": {"stringData": {"apiKey": "k" * 900_000}},
    "of another type": {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "none", "tls.key": "none"}},
}


@pytest.mark.parametrize("case", CREDENTIALS)
def test_a_credential_that_is_none_is_told_of_and_reaches_no_request(team: Team, case: str):
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "poison"}, **CREDENTIALS[case]}
    token = {**TOKEN, "credentialRef": {"secret": {"name": "poison"}}}
    team.apply(
        secret,
        template("taker", labels={"app": "taker"}),
        profile("taker", labels={"app": "taker"}, rules=[rule("r", tokenTransformation=token)]),
    )
    try:
        found = team.wait("securityprofile", "taker", lambda found: resolved(found) == "False", "says that it is not resolved")
        assert "k" * 1000 not in json.dumps(found)
        assert "X-Evil" not in json.dumps(data(team.wait("secret", "taker-egress")))
    finally:
        remove(team, "SecurityProfile", "taker")
        remove(team, "SandboxTemplate", "taker")
        remove(team, "Secret", "poison")


def resolved(raw: Raw) -> str:
    return next((each["status"] for each in (raw.get("status") or {}).get("conditions", []) if each["type"] == "ResolvedRefs"), "")


def test_a_status_that_is_anything_is_written_over(team: Team, world: ControlPlane):
    for number, status in enumerate(("text", [], {"conditions": "x"}, {"conditions": [None, 7, {"type": 7}]}, {"conditions": {"a": 1}})):
        name = f"status-{number}"
        team.apply(profile(name))
        judged(team, "SecurityProfile", name)
        body = json.dumps({"status": status})
        world.kubectl("patch", "securityprofile", name, "-n", TEAM, "--subresource=status", "--type=merge", "-p", body, check=False)
        judged(team, "SecurityProfile", name)
        remove(team, "SecurityProfile", name)


def test_a_namespace_with_strange_labels_and_annotations_is_looked_after(world: ControlPlane, team: Team):
    for number, note in enumerate(("", "x" * 250_000, "\u0000\u202e")):
        other = Team(world, f"strange-{number}")
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other.namespace, "annotations": {"groyne.dev/secrets": note}}}
        world.kubectl("create", "--filename", "-", input=json.dumps(body))
        other.opt_in()
        other.apply(template("python"), profile("limits"))
        other.wait("secret", "python-egress")
    other.cluster.kubectl("label", "namespace", other.namespace, "groyne.dev/secrets=Perhaps", "--overwrite")
    other.condition("limits", "ResolvedRefs", "False", "NamespaceNotOptedIn")
