"""Every state of a template and of the policy of its name, on a real server: what is done then, and that it is done once.

In two steps, so that a policy can be the template's own by its UID: first all templates get their policies, then each row is arranged as
it says, with no controller there, and one run brings everything up to date. What was done is read off the API server's audit log, a
second run writes nothing, and a last one may take over what agent-sandbox's own controller made.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, install, running
from e2e.kubernetes.team import Team, written
from e2e.support.waiting import until
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
Raw = dict[str, Any]
TEAM = "team-a"
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
RULES = {"egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"port": 443, "protocol": "TCP"}]}]}
ALL_PODS = {"egress": [{"to": [{"podSelector": {"matchLabels": {}}}]}]}
"""The API server leaves the empty labels out."""
WRITES = frozenset({"create", "update", "patch", "delete"})
OURS = "app.kubernetes.io/managed-by"
COLLIDING = ("costarring", "liquid")
"""Two words that share their FNV-1a hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`policy`: absent, equal, differs, theirs (made by agent-sandbox), stripped (no owner), other-owner, plain-owner, stale (of an earlier
    template of this name). `done` is what happens to it, `said` the Event's reason, `taken` what happens with take-over.
    """

    management: str | None
    rules: Raw | None
    policy: str
    done: str = ""
    said: str = ""
    taken: str = ""

    @property
    def id(self) -> str:
        names = {json.dumps(None): "default", json.dumps(RULES): "own", json.dumps(ALL_PODS): "all-pods", json.dumps({}): "empty"}
        rules = names[json.dumps(self.rules)]
        return f"{self.management if self.management is not None else 'unset'}-{rules}-{self.policy}".lower()

    @property
    def spec(self) -> Raw:
        given = {"networkPolicyManagement": self.management, "networkPolicy": self.rules}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def policy_name(self) -> str:
        return f"{self.id}-network-policy"


def rows() -> Iterator[Row]:
    foreign = ("stripped", "other-owner", "plain-owner", "stale")
    yield Row(management="Managed", rules=ALL_PODS, policy="equal")
    for rules in (None, RULES, {}):
        for management in ("Managed", None):
            yield Row(management=management, rules=rules, policy="absent", done="create")
            yield Row(management=management, rules=rules, policy="equal")
            yield Row(management=management, rules=rules, policy="differs", done="patch")
            yield Row(management=management, rules=rules, policy="theirs", said="ManagedElsewhere", taken="patch")
            for policy in foreign:
                yield Row(management=management, rules=rules, policy=policy, said="OwnershipConflict")
        yield Row(management="Unmanaged", rules=rules, policy="absent")
        yield Row(management="Unmanaged", rules=rules, policy="equal", done="delete")
        yield Row(management="Unmanaged", rules=rules, policy="differs", done="delete")
        yield Row(management="Unmanaged", rules=rules, policy="theirs", said="ManagedElsewhere", taken="delete")
        for policy in foreign:
            yield Row(management="Unmanaged", rules=rules, policy=policy)


ROWS = tuple(rows())
IDS = [row.id for row in ROWS]


@dataclass(slots=True, kw_only=True)
class Story:
    """What each run did to which policy, and what was there before and after the run that the rows are about."""

    team: Team
    before: dict[str, Raw] = field(default_factory=dict)
    after: dict[str, Raw] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    taken: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, set[str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Story:
    work = tmp_path_factory.mktemp("states")
    install(breakable)
    breakable.kubectl("create", "namespace", TEAM)
    told = Story(team=Team(breakable, TEAM))
    told.team.apply(*(template(row.id, **(row.spec | {"networkPolicyManagement": "Managed"})) for row in ROWS))
    bring_up_to_date(breakable, work / "first.log")
    breakable.stop("controller-manager")  # it would collect what an earlier template has left
    for row in ROWS:
        arrange(told.team, row)
    told.before = policies(breakable)
    told.done = done_by(breakable, lambda: bring_up_to_date(breakable, work / "second.log"))
    told.after, told.said, told.labels = policies(breakable), events(breakable), hashes(breakable)
    told.again = [
        f"{verb} {name}"
        for name, verbs in done_by(breakable, lambda: bring_up_to_date(breakable, work / "third.log")).items()
        for verb in verbs
    ]
    told.taken = done_by(breakable, lambda: bring_up_to_date(breakable, work / "fourth.log", "--take-over"))
    breakable.start("controller-manager")
    return told


def bring_up_to_date(cluster: ControlPlane, log: Path, *flags: str) -> None:
    with running(cluster, log, "--once", "--no-leader-election", *flags, ready=False) as replica:
        replica.process.wait(timeout=90)
        assert "Traceback" not in replica.said(), replica.said()


def done_by(cluster: ControlPlane, act: Any) -> dict[str, list[str]]:
    """Writes of the controller to anything but Events, by the object's name."""
    seen = len(cluster.audit())
    act()
    found: dict[str, list[str]] = {}
    time.sleep(0.3)
    for call in cluster.audit()[seen:]:
        if call.user == USER and call.verb in WRITES and call.resource != "events" and call.code < 300:
            found.setdefault(call.name, []).append(call.verb)
    return found


def policies(cluster: ControlPlane) -> dict[str, Raw]:
    return {each["metadata"]["name"]: each for each in cluster.get("networkpolicies", "--namespace", TEAM)["items"]}


def hashes(cluster: ControlPlane) -> dict[str, str]:
    found = cluster.get("sandboxtemplates", "--namespace", TEAM)["items"]
    return {each["metadata"]["name"]: each["metadata"].get("labels", {}).get(HASH_LABEL, "") for each in found}


def events(cluster: ControlPlane) -> dict[str, set[str]]:
    said: dict[str, set[str]] = {}
    for each in cluster.get("events.events.k8s.io", "--namespace", TEAM)["items"]:
        if each["type"] == "Warning":
            said.setdefault(each["regarding"]["name"], set()).add(each["reason"])
    return said


def arrange(team: Team, row: Row) -> None:
    """By JSON patches, as somebody else than the controller."""
    owner = "/metadata/ownerReferences"
    changes: dict[str, list[Raw]] = {
        "absent": [],
        "equal": [],
        "differs": [{"op": "replace", "path": "/spec/policyTypes", "value": ["Egress"]}, {"op": "replace", "path": "/spec/egress", "value": [{}]}],
        "theirs": [{"op": "remove", "path": "/metadata/labels"}, {"op": "replace", "path": "/spec/egress", "value": [{}]}],
        "stripped": [{"op": "remove", "path": owner}],
        "other-owner": [{"op": "replace", "path": f"{owner}/0/kind", "value": "Sandbox"}, {"op": "replace", "path": f"{owner}/0/uid", "value": "another"}],
        "plain-owner": [{"op": "replace", "path": f"{owner}/0/controller", "value": False}],
        "stale": [{"op": "replace", "path": f"{owner}/0/uid", "value": "of-the-one-before"}],
    }  # fmt: skip
    if row.policy == "absent":
        team.delete("networkpolicy", row.policy_name)
    elif row.policy != "equal":
        if row.rules == {} and row.policy in ("differs", "theirs"):
            changes[row.policy] = [{**each, "op": "add"} if each["path"] == "/spec/egress" else each for each in changes[row.policy]]
        patch = json.dumps(changes[row.policy])
        team.cluster.kubectl("patch", "networkpolicy", row.policy_name, "-n", TEAM, "--type=json", "-p", patch)
    if row.management != "Managed":
        team.cluster.apply(written(template(row.id, **row.spec), TEAM))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_is_done(story: Story, row: Row):
    assert story.done.get(row.policy_name, []) == ([row.done] if row.done else [])
    after, before = story.after.get(row.policy_name), story.before.get(row.policy_name)
    if row.done == "delete" or (row.management == "Unmanaged" and row.policy == "absent"):
        assert after is None
    elif not row.done:
        assert after == before
    else:
        assert after is not None
        as_wanted(after, row)


def as_wanted(found: Raw, row: Row) -> None:
    assert found["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert found["spec"]["podSelector"] == {"matchLabels": {HASH_LABEL: name_hash(row.id)}}
    rules = {name: found["spec"][name] for name in ("ingress", "egress") if name in found["spec"]}
    assert rules == row.rules if row.rules is not None else rules.keys() == {"ingress", "egress"}
    owner = found["metadata"]["ownerReferences"]
    assert [(each["kind"], each["name"], each["controller"], each["blockOwnerDeletion"]) for each in owner] == [
        ("SandboxTemplate", row.id, True, True)
    ]


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_is_said_and_the_label(story: Story, row: Row):
    """A policy that is somebody else's is said of by an Event where one of ours is wanted, or was."""
    assert story.said.get(row.id, set()) & {"OwnershipConflict", "ManagedElsewhere"} == ({row.said} if row.said else set())
    assert story.labels[row.id] == name_hash(row.id)


def test_a_second_run_writes_nothing(story: Story):
    assert story.again == []


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_take_over_writes_what_agent_sandbox_made_and_nothing_of_strangers(story: Story, row: Row):
    assert story.taken.get(row.policy_name, []) == ([row.taken] if row.taken else [])


@pytest.fixture(scope="module")
def alive(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The controller in step with what happens, for what cannot be arranged beforehand."""
    cluster = story.team.cluster
    cluster.kubectl("create", "namespace", "team-b")
    with running(cluster, tmp_path_factory.mktemp("alive") / "replica.log") as replica:
        yield Team(cluster, "team-b")
        assert "Traceback" not in replica.said(), replica.said()


def test_what_an_earlier_template_left_is_collected_and_made_anew(story: Story, alive: Team):
    """Refused until then; the collector's turn comes within a minute."""
    row = next(row for row in ROWS if row.policy == "stale" and row.management == "Managed")
    uid = story.before[row.policy_name]["metadata"]["uid"]
    until(lambda: (found := policies(alive.cluster).get(row.policy_name)) and found["metadata"]["uid"] != uid, "another policy", 120)


def test_labels_and_annotations_of_others_stay_when_the_rules_are_put_right(alive: Team):
    alive.apply(template("python"))
    alive.wait("networkpolicy", "python-network-policy")
    body = {"metadata": {"labels": {"their": "label"}, "annotations": {"their": "note"}}, "spec": {"ingress": None}}
    alive.cluster.kubectl("patch", "networkpolicy", "python-network-policy", "-n", alive.namespace, "--type=merge", "-p", json.dumps(body))
    found = alive.wait("networkpolicy", "python-network-policy", lambda found: "ingress" in found["spec"])
    assert found["metadata"]["labels"]["their"] == "label"
    assert found["metadata"]["annotations"]["their"] == "note"


def test_a_template_on_its_way_out_gets_neither_policy_nor_label(alive: Team):
    raw = written(template("leaving"), alive.namespace)
    raw["metadata"] |= {"finalizers": ["example.com/wait"]}
    alive.apply(template("leaving"))
    alive.wait("networkpolicy", "leaving-network-policy")
    alive.cluster.apply(raw)
    alive.delete("sandboxtemplate", "leaving")
    alive.wait("sandboxtemplate", "leaving", lambda found: "deletionTimestamp" in found["metadata"])
    alive.delete("networkpolicy", "leaving-network-policy")
    alive.cluster.kubectl("label", "sandboxtemplate", "leaving", f"{HASH_LABEL}-", "-n", alive.namespace)
    alive.apply(template("beside"))
    alive.wait("networkpolicy", "beside-network-policy")
    assert alive.get("networkpolicy", "leaving-network-policy") is None
    assert HASH_LABEL not in alive.get("sandboxtemplate", "leaving")["metadata"].get("labels", {})
    alive.cluster.kubectl(
        "patch", "sandboxtemplate", "leaving", "-n", alive.namespace, "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]'
    )


def test_two_templates_whose_names_share_a_hash_are_told_of_each_other(alive: Team):
    one, other = COLLIDING
    assert name_hash(one) == name_hash(other)
    alive.apply(template(one), template(other))
    until(lambda: all("HashCollision" in said(alive, name) for name in COLLIDING), "both are told")
    for name in COLLIDING:
        alive.wait("networkpolicy", f"{name}-network-policy", lambda found: "HashCollision" in noted(found), "the policy says so")
    alive.delete("sandboxtemplate", other)
    alive.wait("networkpolicy", f"{one}-network-policy", lambda found: "HashCollision" not in noted(found), "it says so no more")


def said(team: Team, name: str) -> set[str]:
    found = team.cluster.get("events.events.k8s.io", "--namespace", team.namespace)["items"]
    return {each["reason"] for each in found if each["regarding"]["name"] == name}


def noted(policy: Raw) -> str:
    text: str = policy["metadata"].get("annotations", {}).get("groyne.dev/warnings", "")
    return text


@pytest.mark.parametrize("length", [238, 239, 253])
def test_names_that_are_too_long_for_a_policy_are_refused_in_words(alive: Team, length: int):
    """And the label is there all the same: pods find their template."""
    name = "n" * length
    alive.apply(template(name))
    alive.wait("sandboxtemplate", name, lambda found: found["metadata"].get("labels", {}).get(HASH_LABEL) == name_hash(name))
    if length + len("-network-policy") <= 253:
        alive.wait("networkpolicy", f"{name}-network-policy")
    else:
        until(lambda: "NameTooLong" in said(alive, name), "an Event")
        assert alive.get("networkpolicy", f"{name}-network-policy") is None


def test_whoever_else_deletes_a_policy_first_loses_nothing_and_breaks_nothing(alive: Team):
    """Twenty templates to and fro, while their policies are deleted by somebody else too: the end is what the templates say."""
    names = [f"race-{number}" for number in range(20)]
    for management in ("Managed", "Unmanaged", "Managed", "Unmanaged"):
        alive.apply(*(template(name, networkPolicyManagement=management) for name in names))
        alive.cluster.kubectl("delete", "networkpolicy", "--all", "-n", alive.namespace, "--wait=false")
    until(lambda: not {f"{name}-network-policy" for name in names} & found_policies(alive), "no policy is left")
    alive.apply(*(template(name, networkPolicyManagement="Managed") for name in names))
    until(lambda: {f"{name}-network-policy" for name in names} <= found_policies(alive), "each has its policy")


def found_policies(team: Team) -> set[str]:
    return {each["metadata"]["name"] for each in team.cluster.get("networkpolicies", "--namespace", team.namespace)["items"]}
