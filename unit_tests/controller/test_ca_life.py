"""A template's CA is made once, stands in a Secret of its own, and is replaced before it ends and for no other reason."""

from datetime import timedelta

from controller.template_reconciler import LONGEST_REST
from daemon.kinds import PROFILES, SECRETS
from dataplane.certificates import CA_LIFETIME
from kube.errors import Unavailable
from kube.objects import Key
from unit_tests.controller.law_state import values
from unit_tests.controller.raw_objects import injecting, profile, rule, secret
from unit_tests.controller.stage import Stage
from unit_tests.controller.stories import SOON, begun, condition, egress, holds, played
from unit_tests.kube.fake_server import refusal


def test_no_ca_is_made_anew_because_of_a_read_that_failed():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        before = egress(stage)["ca.crt"]
        stage.fault = lambda sent: refusal(500) if sent.verb == "get" and sent.key.name == "python-egress" else None
        stage.put(profile("more", rules=[rule("paths", "second.example.com", block={"statusCode": 403})]))
        await stage.again()
        await stage.rest()
        assert "second.example.com" not in egress(stage)["rds-plain.json"]
        assert egress(stage)["ca.crt"] == before
        stage.fault = lambda sent: None
        await stage.rest(600)
        assert "second.example.com" in egress(stage)["rds-plain.json"]
        assert egress(stage)["ca.crt"] == before

    played(story)


def test_without_anything_to_intercept_ca_leafs_and_bundle_go():
    async def story(stage: Stage):
        await begun(stage, injecting(), profile("limits"), secret())
        assert {"ca.crt", "leaf-0.crt", "ca-bundle.crt"} <= set(egress(stage))
        stage.drop(PROFILES, "keys")
        await stage.rest()
        assert not {name for name in egress(stage) if name.startswith(("ca", "leaf", "sds-"))}

    played(story)


def test_the_ca_s_key_stands_in_a_secret_of_its_own_which_the_template_owns():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        authority = values(stage.get(SECRETS, "python-ca"))
        assert set(authority) == {"ca.crt", "ca.key"}
        assert authority["ca.crt"] == egress(stage)["ca.crt"]
        assert not [name for name, text in egress(stage).items() if authority["ca.key"].strip() in text]
        owners = [stage.get(SECRETS, name)["metadata"]["ownerReferences"] for name in ("python-ca", "python-egress")]
        assert owners[0] == owners[1]
        stage.drop(PROFILES, "keys")
        await stage.rest()
        assert stage.get(SECRETS, "python-ca") is None

    played(story)


def test_a_ca_that_stands_in_the_unified_secret_as_of_old_is_taken_over_once_and_dropped_there():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        await stage.crash()
        authority = stage.get(SECRETS, "python-ca")
        live = stage.get(SECRETS, "python-egress")
        stage.server.storage.update(SECRETS, Key("team-a", "python-egress"), {**live, "data": {**live["data"], **authority["data"]}})
        stage.server.storage.delete(SECRETS, Key("team-a", "python-ca"))
        await stage.start()
        await stage.rest()
        assert stage.get(SECRETS, "python-ca")["data"] == authority["data"]
        assert stage.get(SECRETS, "python-egress")["data"] == live["data"]

    played(story)


def test_no_ca_is_replaced_because_its_secret_cannot_be_read_or_is_not_shown_yet():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        before = stage.get(SECRETS, "python-ca")
        stage.fault = lambda sent: refusal(500) if sent.verb == "get" and sent.key.name == "python-ca" else None
        stage.put(profile("more", rules=[rule("paths", "second.example.com", block={"statusCode": 403})]))
        await stage.again()
        await stage.rest()
        stage.fault = lambda sent: None
        await stage.rest(600)
        assert "second.example.com" in egress(stage)["rds-plain.json"]
        assert stage.get(SECRETS, "python-ca") == before

    async def late(stage: Stage):
        """The answer to the POST is lost and the watch says nothing for two minutes."""
        lost = []
        stage.server.after = lambda sent, answer: (lost.append(sent), Unavailable("cut"))[1] if sent.verb == "create" and not lost else None
        stage.fault = lambda sent: [stream.mute() for stream in stage.server.streams] and None
        await begun(stage, injecting(), secret())
        first = stage.get(SECRETS, "python-ca")
        stage.fault = lambda sent: None
        await stage.rest(600)
        assert first
        assert stage.get(SECRETS, "python-ca") == first
        assert egress(stage)["ca.crt"] == values(first)["ca.crt"]

    played(story)
    played(late)


def test_a_secret_of_the_ca_s_name_that_is_not_ours_is_left_alone_and_matters_only_where_one_is_needed():
    async def story(stage: Stage):
        stage.put(secret("python-ca", mine="value"))
        theirs = stage.get(SECRETS, "python-ca")
        await begun(stage, profile("limits"))
        assert condition(stage, "Programmed", "limits") == ("True", "Distributed")
        stage.put(injecting())
        stage.put(secret())
        await stage.rest()
        assert condition(stage, "Programmed") == ("False", "OwnershipConflict")
        assert stage.get(SECRETS, "python-ca") == theirs
        stage.drop(SECRETS, "python-ca")
        await stage.rest(SOON)
        assert condition(stage, "Programmed") == ("True", "Distributed")
        assert holds(stage, "first-value")

    played(story)


def test_a_ca_is_replaced_before_it_ends_by_one_that_was_trusted_before():
    async def story(stage: Stage):
        await begun(stage, injecting(), secret())
        first = values(stage.get(SECRETS, "python-ca"))
        stage.ahead = CA_LIFETIME - timedelta(days=20)
        await stage.rest(LONGEST_REST.total_seconds())
        announced = values(stage.get(SECRETS, "python-ca"))
        assert announced["ca.crt"] == first["ca.crt"] == egress(stage)["ca.crt"]
        assert announced["ca-next.crt"].strip() in egress(stage)["ca-bundle.crt"]
        stage.ahead += timedelta(days=10)
        await stage.rest(LONGEST_REST.total_seconds())
        assert egress(stage)["ca.crt"] == announced["ca-next.crt"] == values(stage.get(SECRETS, "python-ca"))["ca.crt"]

    played(story)
