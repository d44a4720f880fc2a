"""The controller against a real API server, with the rights that its kustomization gives it: templates, profiles, credentials."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster
from e2e.kubernetes.controller_process import Replica, install, running
from e2e.kubernetes.team import Team, data, events
from e2e.support.waiting import until
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import global_profile, profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def replica(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory):
    install(cluster)
    with running(cluster, tmp_path_factory.mktemp("controller") / "replica.log") as found:
        yield found
        assert "Traceback" not in found.said(), found.said()
        refused = [line for line in found.said().splitlines() if "Forbidden" in line and not any(words in line for words in EXPECTED)]
        assert not refused, refused


@pytest.fixture
def team(cluster: Cluster, namespace: str, replica: Replica) -> "Team":
    found = Team(cluster, namespace)
    found.opt_in()
    return found


EXPECTED = ("being terminated", "list secrets")
"""Refusals that a test brings about: a namespace that goes while it is worked in, or has the label before it has the RoleBinding."""


def test_a_template_gets_its_label_and_its_policy(team: Team):
    team.apply(template("python"))
    policy = team.wait("networkpolicy", "python-network-policy")
    assert policy["spec"]["podSelector"] == {"matchLabels": {HASH_LABEL: name_hash("python")}}
    assert policy["metadata"]["ownerReferences"][0]["uid"] == team.get("sandboxtemplate", "python")["metadata"]["uid"]
    assert team.get("sandboxtemplate", "python")["metadata"]["labels"][HASH_LABEL] == name_hash("python")


def test_a_custom_policy_replaces_the_built_in_rules_and_leaves_with_them(team: Team):
    port = {"port": 53, "protocol": "UDP"}
    team.apply(template("python", networkPolicy={"egress": [{"ports": [{"port": 53}, port]}]}))
    policy = team.wait("networkpolicy", "python-network-policy", lambda found: "ingress" not in found["spec"])
    assert policy["spec"]["egress"] == [{"ports": [{"port": 53, "protocol": "TCP"}, port]}]
    team.apply(template("python"))
    team.wait("networkpolicy", "python-network-policy", lambda found: "ingress" in found["spec"])


def test_unmanaged_takes_the_policy_away_and_managed_brings_it_back(team: Team):
    team.apply(template("python"))
    team.wait("networkpolicy", "python-network-policy")
    team.apply(template("python", networkPolicyManagement="Unmanaged"))
    team.gone("networkpolicy", "python-network-policy")
    team.apply(template("python", networkPolicyManagement="Managed"))
    team.wait("networkpolicy", "python-network-policy")


def test_an_edited_or_deleted_policy_is_healed_and_labels_of_others_stay(team: Team):
    team.apply(template("python"))
    before = team.wait("networkpolicy", "python-network-policy")
    team.cluster.kubectl("label", "networkpolicy", "python-network-policy", "their=label", "-n", team.namespace)
    team.cluster.kubectl(
        "patch", "networkpolicy", "python-network-policy", "-n", team.namespace, "--type=merge", "-p", '{"spec":{"egress":[{}]}}'
    )
    healed = team.wait("networkpolicy", "python-network-policy", lambda found: found["spec"] == before["spec"])
    assert healed["metadata"]["labels"]["their"] == "label"
    team.delete("networkpolicy", "python-network-policy")
    team.wait("networkpolicy", "python-network-policy", lambda found: found["metadata"]["uid"] != before["metadata"]["uid"])


def test_a_policy_of_somebody_else_is_left_alone_and_that_is_said(team: Team):
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "python-network-policy"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"]},
    }
    team.apply(theirs)
    team.apply(template("python"))
    until(lambda: "OwnershipConflict" in events(team), "an Event says so")
    assert "ownerReferences" not in team.get("networkpolicy", "python-network-policy")["metadata"]
    assert team.get("networkpolicy", "python-network-policy")["metadata"]["generation"] == 1
    team.delete("networkpolicy", "python-network-policy")
    team.wait("networkpolicy", "python-network-policy", lambda found: "ownerReferences" in found["metadata"])


def test_what_a_profile_says_stands_in_the_secret_and_in_its_status(team: Team):
    team.apply(template("python"), profile("limits"))
    secret = data(team.wait("secret", "python-egress"))
    assert {"bootstrap.json", "lds.json", "cds.json", "rds-plain.json", "profiles.json"} <= set(secret)
    assert "api.example.com" in secret["rds-plain.json"]
    team.condition("limits", "Accepted", "True", "Accepted")
    found = team.condition("limits", "Programmed", "True", "Distributed")
    assert "1 SandboxTemplate" in next(c["message"] for c in found["status"]["conditions"] if c["type"] == "Programmed")


def test_a_profile_that_stops_compiling_stays_in_force_and_says_so(team: Team):
    team.apply(template("python"), profile("limits"))
    before = team.wait("secret", "python-egress")
    team.condition("limits", "Programmed", "True", "Distributed")
    team.apply(profile("limits", rules=[rule(domain="a..b")]))
    found = team.condition("limits", "Accepted", "False", "InvalidDomain")
    message = next(c["message"] for c in found["status"]["conditions"] if c["type"] == "Accepted")
    for said in ("rule no-uploads", "spec.rules[0]", "stays in force"):
        assert said in message
    assert team.get("secret", "python-egress")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


def test_a_deleted_profile_takes_the_secret_with_it(team: Team):
    team.apply(template("python"), profile("limits"))
    team.wait("secret", "python-egress")
    team.delete("securityprofile", "limits")
    team.gone("secret", "python-egress")


def test_a_deleted_template_takes_everything_with_it(team: Team):
    team.apply(template("python"), profile("limits"))
    team.wait("secret", "python-egress")
    team.delete("sandboxtemplate", "python")
    for kind, name in (("secret", "python-egress"), ("networkpolicy", "python-network-policy")):
        team.gone(kind, name)
    team.condition("limits", "Programmed", "True", "Distributed")


def injecting(name: str = "keys", **more: Any) -> dict[str, Any]:
    token = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return profile(name, rules=[rule("key", tokenTransformation=token)], **more)


def test_a_credential_comes_rotates_and_is_taken_away_at_once(team: Team):
    team.apply(template("python"), injecting())
    team.condition("keys", "ResolvedRefs", "False", "SecretNotFound")
    team.apply(team.secret("key", apiKey="first-value"))
    team.wait("secret", "python-egress", lambda found: any("first-value" in text for text in data(found).values()))
    team.condition("keys", "ResolvedRefs", "True", "ResolvedRefs")
    team.apply(team.secret("key", apiKey="second-value"))
    rotated = team.wait("secret", "python-egress", lambda found: any("second-value" in text for text in data(found).values()))
    assert not any("first-value" in text for text in data(rotated).values())
    team.delete("secret", "key")
    team.wait("secret", "python-egress", lambda found: not any("second-value" in text for text in data(found).values()))
    team.condition("keys", "ResolvedRefs", "False", "SecretNotFound")


def test_the_ca_stays_while_what_is_intercepted_changes(team: Team):
    team.apply(template("python"), injecting(), team.secret("key", apiKey="value"))
    first = data(team.wait("secret", "python-egress", lambda found: "ca.crt" in data(found)))
    team.apply(injecting(annotations={"groyne.dev/passthrough-domains": "other.example"}))
    team.apply(profile("more", rules=[rule("paths", "second.example.com", block={})]))
    later = data(team.wait("secret", "python-egress", lambda found: "second.example.com" in data(found)["rds-plain.json"]))
    assert later["ca.crt"] == first["ca.crt"]
    authority = data(team.get("secret", "python-ca"))
    assert authority["ca.crt"] == first["ca.crt"]
    assert not [name for name, text in later.items() if authority["ca.key"].strip() in text]
    team.delete("securityprofile", "keys")
    team.wait("secret", "python-egress", lambda found: "ca.crt" not in data(found) and "ca-bundle.crt" not in data(found))
    team.gone("secret", "python-ca")


def test_a_namespace_that_has_not_opted_in_gets_policies_and_is_told(cluster: Cluster, namespace: str, replica: Replica):
    team = Team(cluster, namespace)
    team.apply(template("python"), profile("limits"))
    team.wait("networkpolicy", "python-network-policy")
    team.condition("limits", "ResolvedRefs", "False", "NamespaceNotOptedIn")
    assert team.get("secret", "python-egress") is None
    team.opt_in()
    team.wait("secret", "python-egress")
    team.condition("limits", "Programmed", "True", "Distributed")


def test_a_global_profile_holds_in_every_namespace(team: Team, cluster: Cluster):
    name = f"house-{team.namespace}"
    team.apply(
        template("python", labels={"app": team.namespace}),
        global_profile(name, labels={"app": team.namespace}, rules=[rule("house", "house.example.com")]),
    )
    try:
        team.wait("secret", "python-egress", lambda found: "house.example.com" in data(found)["rds-plain.json"])
    finally:
        cluster.kubectl("delete", "globalsecurityprofile", name)
    team.gone("secret", "python-egress")


def test_a_secret_of_that_name_that_is_not_the_template_s_is_left_alone(team: Team):
    team.apply({**team.secret("python-egress", mine="value")}, template("python"), profile("limits"))
    team.condition("limits", "Programmed", "False", "OwnershipConflict")
    assert data(team.get("secret", "python-egress")) == {"mine": "value"}


def test_nothing_is_written_where_nothing_changed(team: Team, replica: Replica, tmp_path: Path):
    team.apply(team.secret("key", apiKey="value"))
    team.apply(template("python"), injecting())
    team.condition("keys", "ResolvedRefs", "True", "ResolvedRefs")
    team.condition("keys", "Programmed", "True", "Distributed")
    watched = (
        ("secret", "python-egress"),
        ("networkpolicy", "python-network-policy"),
        ("securityprofile", "keys"),
        ("sandboxtemplate", "python"),
    )
    before = [team.get(*each)["metadata"]["resourceVersion"] for each in watched]
    with running(
        team.cluster, tmp_path / "once.log", "--once", "--no-leader-election", "--namespace", team.namespace, ready=False
    ) as again:
        assert again.process.wait(timeout=60) == 0, again.said()
    assert [team.get(*each)["metadata"]["resourceVersion"] for each in watched] == before


def test_of_two_replicas_one_acts_and_the_other_takes_over(cluster: Cluster, namespace: str, replica: Replica, tmp_path: Path):
    """The other one waits, ready; when the first lets go it leads within three seconds."""
    team = Team(cluster, namespace)
    with running(cluster, tmp_path / "second.log") as second:
        assert "leading" not in second.said()
        holder = json.loads(cluster.kubectl("get", "lease", "groyne-controller", "-n", "groyne-system", "-o", "json"))
        assert holder["spec"]["holderIdentity"].startswith("replica_")
        replica_stopped = time.monotonic()
        os.kill(replica.process.pid, 15)
        assert replica.process.wait(timeout=10) == 0
        until(lambda: "leading" in second.said(), "the second leads", patience=10)
        assert time.monotonic() - replica_stopped < 8
        team.apply(template("python"))
        team.wait("networkpolicy", "python-network-policy")
