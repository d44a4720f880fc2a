"""The whole controller on the server in memory: what its parts promise together, also across restarts and failures."""

import asyncio
import base64
import json
from types import SimpleNamespace

import pytest

from controller.cluster_view import ClusterView
from controller.nudger import REVISION
from daemon.kinds import GLOBAL_PROFILES, NAMESPACES, NETWORK_POLICIES, NODES, PODS, PROFILES, SECRETS, TEMPLATES
from kube.event_body import EVENTS
from kube.objects import Key, annotations
from unit_tests.controller.raw_objects import global_profile, injecting, pod, profile, rule, secret, template
from unit_tests.controller.stage import Stage, namespace
from unit_tests.controller.stories import SOON, begun, condition, egress, holds, message, played
from unit_tests.kube.fake_server import refusal

BROKEN = [rule(domain="a..b")]


def test_a_credential_that_is_rotated_emptied_or_deleted_is_so_for_the_pods_at_once():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        assert holds(stage, "first-value")
        stage.put(secret(apiKey="second-value"))
        await stage.rest(SOON)
        assert holds(stage, "second-value")
        assert not holds(stage, "first-value")
        stage.put(secret(apiKey=""))
        await stage.rest(SOON)
        assert not holds(stage, "second-value")
        stage.put(secret(apiKey="third-value"))
        await stage.rest(SOON)
        assert holds(stage, "third-value")
        stage.drop(SECRETS, "key")
        await stage.rest(SOON)
        assert not holds(stage, "third-value")
        assert condition(stage, "ResolvedRefs") == ("False", "SecretNotFound")

    played(story)


def test_a_credential_is_taken_away_also_where_its_secret_cannot_be_made_anew():
    """One's own CA is missing: the rules stay as they were, the credential does not."""

    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        before = egress(stage)
        stage.put(template() | {"metadata": {**template()["metadata"], "annotations": {"groyne.dev/ca-secret": "company-ca"}}})
        await stage.rest()
        assert egress(stage) == before
        assert condition(stage, "Programmed") == ("False", "SecretNotFound")
        stage.drop(SECRETS, "key")
        await stage.rest(SOON)
        after = egress(stage)
        assert not holds(stage, "first-value")
        assert {name for name in before if before[name] != after[name]} == {name for name in before if "credential" in name}
        wrote = len(stage.writes())
        await stage.again()
        await stage.rest()
        assert len(stage.writes()) == wrote

    played(story)


def test_a_restart_with_nothing_changed_writes_nothing():
    async def story(stage: Stage):
        await begun(stage, injecting(), profile("limits"), profile("broken", rules=BROKEN), global_profile(), secret(), pod())
        before = len(stage.writes())
        await stage.again()
        await stage.rest(400)
        assert stage.writes()[before:] == []

    played(story)


def test_standing_still_nothing_is_written():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret(), pod())
        before = len(stage.writes())
        await stage.rest(20_000)
        assert stage.writes()[before:] == []

    played(story)


@pytest.mark.parametrize("settings", [{}, {"opt_in": "all"}, {"namespace": "team-a"}], ids=["by label", "everywhere", "one namespace"])
def test_the_last_good_rules_stay_in_force_across_a_restart(settings):
    async def story(stage: Stage):
        stage.bound.add("")
        await begun(stage, profile("limits"))
        before = stage.get(SECRETS, "python-egress")
        await stage.crash()
        stage.put(profile("limits", rules=BROKEN))
        await stage.start()
        await stage.rest()
        assert stage.get(SECRETS, "python-egress") == before
        assert condition(stage, "Accepted", "limits") == ("False", "InvalidDomain")
        assert "stays in force" in message(stage, "Accepted", "limits")

    played(story, **settings)


def test_the_last_good_rules_survive_a_restart_during_which_secrets_cannot_be_listed():
    async def story(stage: Stage):
        await begun(stage, profile("limits"))
        before = stage.get(SECRETS, "python-egress")
        await stage.crash()
        stage.put(profile("limits", rules=BROKEN))
        stage.fault = lambda sent: refusal(500) if sent.resource == SECRETS and "labelSelector" in sent.params else None
        await stage.start()
        await stage.rest()
        assert stage.get(SECRETS, "python-egress") == before
        stage.fault = lambda sent: None
        await stage.rest(600)
        assert stage.get(SECRETS, "python-egress") == before
        assert "stays in force" in message(stage, "Accepted", "limits")

    played(story)


def test_the_last_good_rules_survive_a_restart_before_which_the_namespace_has_lost_its_rolebinding():
    async def story(stage: Stage):
        await begun(stage, profile("limits"))
        before = stage.get(SECRETS, "python-egress")
        await stage.crash()
        stage.put(profile("limits", rules=BROKEN))
        stage.bound.clear()
        await stage.start()
        await stage.rest()
        stage.bound.add("team-a")
        await stage.rest(60)
        assert stage.get(SECRETS, "python-egress") == before
        assert "stays in force" in message(stage, "Accepted", "limits")

    played(story)


def test_a_last_good_version_holds_for_a_template_that_came_later():
    async def story(stage: Stage):
        await begun(stage, profile("limits", rules=[rule(domain="old.example.com")]))
        stage.put(profile("limits", rules=BROKEN))
        await stage.again()
        stage.put(template("later"))
        await stage.rest()
        assert "old.example.com" in egress(stage, "later-egress")["rds-plain.json"]

    played(story)


def test_a_secret_of_that_name_that_is_not_ours_is_never_touched():
    async def story(stage: Stage):
        stage.put(secret("python-egress", mine="value"))
        theirs = stage.get(SECRETS, "python-egress")
        await begun(stage, profile("limits"))
        stage.drop(PROFILES, "limits")
        await stage.rest()
        stage.put(profile("limits"))
        await stage.rest()
        assert stage.get(SECRETS, "python-egress") == theirs
        assert condition(stage, "Programmed", "limits") == ("False", "OwnershipConflict")
        stage.drop(SECRETS, "python-egress")
        await stage.rest(SOON)
        assert "rds-plain.json" in egress(stage)
        assert condition(stage, "Programmed", "limits") == ("True", "Distributed")

    played(story)


def test_a_secret_that_would_be_too_large_is_not_written_and_the_last_one_stays():
    async def story(stage: Stage):
        await begun(stage, profile("limits"))
        before = egress(stage)
        large = [rule(f"r{n}", f"h{n}.example.com", block={"statusCode": 403, "body": "x" * 2000}) for n in range(250)]
        stage.put(profile("large", rules=large))
        await stage.rest()
        assert egress(stage) == before
        assert condition(stage, "Programmed", "large") == ("False", "SecretTooLarge")
        stage.drop(PROFILES, "large")
        await stage.rest()
        assert condition(stage, "Programmed", "limits") == ("True", "Distributed")

    played(story)


def test_where_the_opt_in_is_withdrawn_no_secret_is_read_or_written_and_the_status_says_so():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        stage.put(namespace("team-a"))
        live = stage.get(NAMESPACES, "team-a", "")
        stage.server.storage.update(NAMESPACES, Key("", "team-a"), {**live, "metadata": {**live["metadata"], "labels": {}}})
        await stage.rest(SOON)
        assert condition(stage, "ResolvedRefs") == ("False", "NamespaceNotOptedIn")
        before = len(stage.server.sent)
        stage.put(secret(apiKey="second-value"))
        stage.put(injecting(labels={"app": "agent", "more": "x"}))
        await stage.rest()
        assert not [sent for sent in stage.server.sent[before:] if sent.resource == SECRETS]
        stage.opt_in("team-a")
        stage.put(injecting())
        await stage.rest()
        assert holds(stage, "second-value")

    played(story)


def test_a_rolebinding_that_goes_and_comes_back_is_noticed_without_a_restart():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        stage.bound.clear()
        for stream in stage.server.streams:
            stream.end()
        await stage.rest(60)
        assert condition(stage, "ResolvedRefs") == ("False", "NamespaceNotOptedIn")
        stage.bound.add("team-a")
        await stage.rest(60)
        assert condition(stage, "ResolvedRefs") == ("True", "ResolvedRefs")
        assert condition(stage, "Programmed") == ("True", "Distributed")

    played(story)


def test_a_secret_of_another_namespace_serves_by_grant_and_only_while_that_namespace_is_opted_in():
    async def story(stage: Stage):
        stage.opt_in("team-b")
        await begun(stage, injecting(owner="team-b"), secret(namespace="team-b"))
        assert condition(stage, "ResolvedRefs") == ("False", "RefNotGranted")
        stage.put(secret(namespace="team-b", annotations={"groyne.dev/grant-to": "team-a"}))
        await stage.rest(SOON)
        assert holds(stage, "first-value")
        stage.drop(NAMESPACES, "team-b", "")
        await stage.rest(SOON)
        assert not holds(stage, "first-value")
        assert condition(stage, "ResolvedRefs") == ("False", "NamespaceNotOptedIn")

    played(story)


def test_a_network_policy_that_cannot_be_made_keeps_no_secret_from_being_right():
    async def story(stage: Stage):
        wrong = {"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.168.0.0/16"]}}]}]}
        stage.put(template(networkPolicy=wrong))
        stage.opt_in("team-a")
        stage.put(profile("limits"))
        await stage.start()
        await stage.rest()
        assert stage.get(NETWORK_POLICIES, "python-network-policy") is None
        assert "rds-plain.json" in egress(stage)

    played(story)


def test_a_template_that_is_being_deleted_gets_nothing_more_and_keeps_no_profile_waiting():
    async def story(stage: Stage):
        stage.opt_in("team-a")
        raw = template()
        stage.put({**raw, "metadata": {**raw["metadata"], "finalizers": ["their/own"]}})
        stage.put(profile("limits"))
        await stage.start()
        await stage.rest()
        stage.server.storage.delete(TEMPLATES, Key("team-a", "python"))
        stage.server.storage.delete(SECRETS, Key("team-a", "python-egress"))
        await stage.rest()
        assert egress(stage) is None
        stage.put(profile("limits", rules=[rule(domain="new.example.com")]))
        await stage.rest()
        assert condition(stage, "Programmed", "limits") == ("True", "Distributed")
        assert "selects no SandboxTemplate" in message(stage, "Programmed", "limits")

    played(story)


def test_pods_are_told_also_where_the_process_dies_between_the_write_and_telling_them():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        stage.put(pod())
        stage.fault = lambda sent: (stage.die(), 1000.0)[1] if sent.resource == PODS and sent.verb == "patch" else None
        stage.put(secret(apiKey="second-value"))
        await asyncio.sleep(SOON)
        assert not stage.running
        stage.fault = lambda sent: None
        await stage.again()
        await stage.rest()
        hash_ = annotations(stage.get(SECRETS, "python-egress"))["groyne.dev/content-hash"]
        assert annotations(stage.get(PODS, "pod"))[REVISION] == hash_[:16] + ".2"

    played(story)


def test_whoever_begins_to_lead_knows_the_cluster_as_it_is_then():
    """A replica that stood by for long: the nodes that came meanwhile are excluded from its first policies on."""

    async def story(stage: Stage):
        stage.put(template())
        await stage.start(stand_by=300.0)
        await stage.rest(100)
        stage.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"podCIDRs": ["93.184.0.0/16"]}})
        await stage.rest(300)
        assert "93.184.0.0/16" in json.dumps(stage.get(NETWORK_POLICIES, "python-network-policy"))
        assert stage.get(NODES, "n", "")

    played(story)


def slow_orders(monkeypatch, seconds: float) -> None:
    """Each look at the order of a namespace's profiles takes so long, as it may where there are thousands."""

    async def late(look, *given):
        found = look(*given)
        await asyncio.sleep(seconds)
        return found

    monkeypatch.setattr("controller.order.asyncio", SimpleNamespace(to_thread=late))


def test_what_changes_while_a_leader_prepares_is_in_its_first_writes(monkeypatch):
    """A node that comes, and a profile whose order begins to matter: nobody would tell of them again."""
    slow_orders(monkeypatch, 20.0)

    async def story(stage: Stage):
        stage.opt_in("team-a")
        for raw in (template(), profile("first", rules=[rule(bypass=True)])):
            stage.put(raw)
        await stage.start()
        await stage.rest(10)
        assert stage.writes() == []
        stage.put(node("n", "93.184.0.0/16"))
        stage.put(profile("second", rules=[rule(block={"statusCode": 403})]))
        await stage.rest(15)
        assert "93.184.0.0/16" in json.dumps(stage.get(NETWORK_POLICIES, "python-network-policy"))
        await stage.rest(60)
        assert condition(stage, "Accepted", "first")[1] == condition(stage, "Accepted", "second")[1] == "OrderSensitive"

    played(story)


def node(name: str, cidr: str):
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDRs": [cidr]}}


def beats(stage: Stage, name: str, beat: int, address: str = "10.0.0.1"):
    """As its kubelet writes a Node's status."""
    status = {"addresses": [{"type": "InternalIP", "address": address}], "conditions": [{"type": "Ready", "lastHeartbeatTime": beat}]}
    stage.server.storage.update(NODES, Key("", name), {**stage.get(NODES, name, ""), "status": status}, subresource="status")


def test_heartbeats_of_nodes_cost_no_look_at_the_cluster_and_many_new_nodes_cost_one(monkeypatch):
    reads = []
    read = ClusterView._read
    monkeypatch.setattr(ClusterView, "_read", lambda view: (reads.append(1), read(view))[1])

    async def story(stage: Stage):
        await begun(stage, node("n", "93.184.0.0/16"))
        beats(stage, "n", 0)
        await stage.rest()
        reads.clear()
        for beat in range(1000):
            beats(stage, "n", beat + 1)
        await stage.rest()
        assert reads == []
        for number in range(50):
            stage.put(node(f"n{number}", f"93.{number}.0.0/24"))
        await stage.rest()
        assert len(reads) == 1
        beats(stage, "n", 2000, address="8.8.4.4")
        await stage.rest()
        policy = json.dumps(stage.get(NETWORK_POLICIES, "python-network-policy"))
        assert all(text in policy for text in ("93.184.0.0/16", "93.49.0.0/24", "8.8.4.4/32"))

    played(story)


def test_a_status_that_somebody_adds_to_is_written_once_and_not_for_ever():
    async def story(stage: Stage):
        await begun(stage, profile("limits"))
        live = stage.get(PROFILES, "limits")
        stage.server.storage.update(
            PROFILES, Key("team-a", "limits"), {**live, "status": {**live["status"], "their": "own"}}, subresource="status"
        )
        before = len(stage.writes())
        await stage.again()
        await stage.rest()
        assert stage.writes()[before:] == []
        assert stage.get(PROFILES, "limits")["status"]["their"] == "own"

    played(story)


def test_once_brings_everything_up_to_date_and_says_whether_all_of_it_is():
    async def story(stage: Stage):
        stage.opt_in("team-a")
        for raw in (template(), template("other"), profile("limits"), global_profile()):
            stage.put(raw)
        assert await stage.once() is True
        assert "rds-plain.json" in egress(stage, "other-egress")
        assert condition(stage, "Programmed", "house", GLOBAL_PROFILES) == ("True", "Distributed")
        stage.drop(SECRETS, "other-egress")
        stage.put(secret("other-egress", mine="value"))
        assert await stage.once() is False

    played(story)


def test_once_says_which_template_cannot_be_read():
    """Also one that never could: everything else is up to date, and it is not."""

    async def story(stage: Stage):
        stage.put(template())
        stage.put({**template("other"), "spec": {"podTemplate": "none"}})
        assert await stage.once() is False
        assert stage.get(NETWORK_POLICIES, "python-network-policy")
        assert {event["regarding"]["name"] for event in stage.events("InvalidType")} == {"other"}

    played(story)


def test_no_value_of_a_secret_is_in_a_log_or_an_event(caplog):
    async def story(stage: Stage):
        caplog.set_level("DEBUG")
        await begun(stage, injecting(), secret(apiKey="s3cr3t-value"))
        stage.fault = lambda sent: refusal(500, message="s3cr3t-value") if sent.resource == SECRETS else None
        stage.put(secret(apiKey="s3cr3t-value-2"))
        await stage.rest()
        assert "s3cr3t-value" not in caplog.text
        assert base64.b64encode(b"s3cr3t-value").decode()[:12] not in caplog.text
        assert "s3cr3t" not in json.dumps(list(stage.server.storage.objects(EVENTS).values()))

    played(story)
