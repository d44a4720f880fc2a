"""What comes of a template's turn is told, whatever it is: to its profiles, and to whoever asks whether all is done."""

import asyncio

import pytest

from controller import template_reconciler
from controller.workshop import Workshop
from daemon.kinds import GLOBAL_PROFILES, NETWORK_POLICIES, PROFILES, SECRETS
from kube.objects import Key, key_of
from unit_tests.controller.law_state import values
from unit_tests.controller.raw_objects import global_profile, injecting, profile, rule, secret, template
from unit_tests.controller.stage import Stage, staged
from unit_tests.kube.fake_server import refusal
from unit_tests.kube.virtual import run

HIDDEN = "what an object says"


def played(story):
    async def play():
        async with staged() as stage:
            stage.opt_in("team-a")
            return await story(stage)

    return run(play())


def programmed(stage: Stage, name: str = "limits", resource=PROFILES):
    raw = stage.get(resource, name, "team-a" if resource.namespaced else "")
    conditions = raw.get("status", {}).get("conditions", ())
    return next(((each["status"], each["reason"], each["message"]) for each in conditions if each["type"] == "Programmed"), None)


def resolved(stage: Stage, name: str):
    conditions = stage.get(PROFILES, name)["status"]["conditions"]
    return next((each["status"], each["reason"]) for each in conditions if each["type"] == "ResolvedRefs")


def lists_fail(stage: Stage) -> None:
    """Of the Secrets of one's own namespace."""
    stage.fault = lambda sent: refusal(500) if sent.resource == SECRETS and sent.key.namespace == "team-a" else None


def broken(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """For one of the templates there is a bug."""
    right = template_reconciler.template_inputs

    def wrong(found, *rest):
        if found.metadata.name == name:
            raise KeyError(HIDDEN)
        return right(found, *rest)

    monkeypatch.setattr(template_reconciler, "template_inputs", wrong)


def test_a_template_with_which_there_is_a_bug_silences_no_profile(monkeypatch: pytest.MonkeyPatch):
    broken(monkeypatch, "python")

    async def story(stage: Stage):
        for raw in (template(), template("other"), profile("limits"), global_profile()):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        for said in (programmed(stage), programmed(stage, "house", GLOBAL_PROFILES)):
            assert said[:2] == ("False", "InternalError")
            assert "1 of 2" in said[2]
            assert HIDDEN not in said[2]
        monkeypatch.undo()
        await stage.rest(600)
        assert programmed(stage)[:2] == ("True", "Distributed")

    played(story)


def test_a_template_whose_secrets_cannot_be_listed_is_pending_for_its_profiles():
    async def story(stage: Stage):
        for raw in (template(), profile("limits"), global_profile()):
            stage.put(raw)
        lists_fail(stage)
        await stage.start()
        await stage.rest()
        assert programmed(stage)[:2] == ("False", "Pending")
        assert programmed(stage, "house", GLOBAL_PROFILES)[:2] == ("False", "Pending")
        stage.fault = lambda sent: None
        await stage.rest(600)
        assert programmed(stage)[:2] == ("True", "Distributed")

    played(story)


def test_a_template_that_never_comes_to_an_end_is_pending_for_its_profiles(monkeypatch: pytest.MonkeyPatch):
    async def endless(*_args):
        await asyncio.sleep(10_000)

    monkeypatch.setattr(Workshop, "make", endless)

    async def story(stage: Stage):
        for raw in (template(), profile("limits")):
            stage.put(raw)
        await stage.start()
        await stage.rest(3 * stage.settings.reconcile_timeout)
        assert programmed(stage)[:2] == ("False", "Pending")

    played(story)


def test_of_a_template_that_cannot_be_read_any_more_its_profiles_say_why():
    async def story(stage: Stage):
        for raw in (template(), profile("limits")):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        stage.put({**template(), "spec": {"podTemplate": "text"}})
        stage.put(profile("limits", rules=[rule(domain="new.example.com")]))
        await stage.rest()
        status, reason, message = programmed(stage)
        assert (status, reason) == ("False", "InvalidType")
        assert "SandboxTemplate team-a/python: spec.podTemplate: must be" in message

    played(story)


def test_rules_that_are_kept_as_they_are_say_when_their_certificates_end():
    async def story(stage: Stage):
        for raw in (template(), injecting(), secret()):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        stage.put(template() | {"metadata": {**template()["metadata"], "annotations": {"groyne.dev/ca-secret": "company-ca"}}})
        await stage.rest()
        assert programmed(stage, "keys")[:2] == ("False", "SecretNotFound")
        assert "no certificate is renewed, and the first ends on 2027-" in programmed(stage, "keys")[2]
        before = len(stage.writes())
        await stage.again()
        await stage.rest()
        assert len(stage.writes()) == before

    played(story)


@pytest.mark.parametrize("resource", [SECRETS, PROFILES], ids=["Secrets", "a status"])
def test_once_does_not_claim_what_was_refused(resource):
    """Neither of a template of which nothing came, nor of a status that could not be written."""

    async def story(stage: Stage):
        for raw in (template(), profile("limits")):
            stage.put(raw)
        if resource == SECRETS:
            lists_fail(stage)
        else:
            stage.fault = lambda sent: refusal(500) if sent.resource == PROFILES and sent.verb == "patch" else None
        assert await stage.once() is False
        stage.fault = lambda sent: None
        assert await stage.once() is True

    played(story)


@pytest.mark.parametrize("resource", [SECRETS, NETWORK_POLICIES, PROFILES], ids=["Secrets", "NetworkPolicies", "statuses"])
def test_what_cannot_be_written_is_tried_ever_more_seldom_and_its_status_does_not_flicker(resource):
    """Also what was too soon to be written again once more: that is no success after which a failure would count as the first."""

    async def story(stage: Stage):
        await stage.start()
        await stage.rest()
        stage.fault = lambda sent: refusal(500) if sent.resource == resource and sent.verb in ("create", "patch") else None
        for raw in (template(), profile("limits")):
            stage.put(raw)
        await stage.rest()
        before = len(stage.server.sent)
        await stage.rest(300)
        assert len(stage.server.sent) - before <= 300
        if resource != PROFILES:
            assert programmed(stage)[:2] == ("False", "WriteFailed")
            assert len([sent for sent in stage.writes() if sent.resource == PROFILES]) <= 3
        stage.fault = lambda sent: None
        await stage.rest()
        assert programmed(stage)[:2] == ("True", "Distributed")

    played(story)


def test_a_secret_that_is_only_written_too_often_makes_no_status_flicker():
    async def story(stage: Stage):
        for raw in (template(), injecting(), secret()):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        before, versions = len(stage.writes()), 8
        for number in range(versions):
            stage.put(secret(apiKey=f"value-{number}-end"))
            await stage.rest(0.1)
        await stage.rest()
        written = [sent.resource for sent in stage.writes()[before:]]
        assert 2 < written.count(SECRETS) < versions
        assert written.count(PROFILES) == 0

    played(story)


def test_a_secret_into_which_somebody_writes_all_the_time_is_looked_at_twice_a_second_and_set_right_in_the_end():
    async def story(stage: Stage):
        for raw in (template(), injecting(), secret()):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        before, seconds = len(stage.server.sent), 10
        for number in range(50 * seconds):
            live = stage.get(SECRETS, "python-egress")
            stage.server.storage.update(SECRETS, key_of(live), noted(live, str(number)))
            await stage.rest(0.02)
        looked = [sent for sent in stage.server.sent[before:] if sent.verb == "get" and sent.key.name == "python-egress"]
        assert seconds <= len(looked) <= 2.5 * seconds
        live = stage.get(SECRETS, "python-egress")
        stage.server.storage.update(SECRETS, key_of(live), {**live, "data": {}})
        await stage.rest(2)
        assert stage.get(SECRETS, "python-egress")["data"]

    played(story)


def test_a_secret_of_that_name_that_is_not_ours_is_not_even_read():
    async def story(stage: Stage):
        for raw in (template(), secret("python-egress", theirs="value")):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        for _ in range(10):
            stage.put(secret("python-egress", theirs="other"))
            await stage.rest(1)
        assert [sent for sent in stage.server.sent if sent.verb == "get" and sent.key.name == "python-egress"] == []

    played(story)


def noted(raw, text):
    """As somebody else writes it who means no harm."""
    head = raw["metadata"]
    return {**raw, "metadata": {**head, "annotations": {**head["annotations"], "theirs": text}}}


def test_a_policy_that_somebody_undoes_is_contested_for_the_profiles_and_keeps_no_credential():
    """As long as it is undone nothing claims that it holds; and what is deleted meanwhile is taken away at once, and said."""

    async def story(stage: Stage):
        for raw in (template(), injecting(), secret()):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        said, key = set(), Key("team-a", "python-network-policy")
        for number in range(1500):
            live = stage.server.storage.get(NETWORK_POLICIES, key)
            stage.server.storage.update(NETWORK_POLICIES, key, {**live, "spec": {**live["spec"], "egress": [{}]}})
            await stage.rest(0.02)
            said |= {programmed(stage, "keys")[:2]} if number > 800 else set()
            if number == 1000:
                stage.drop(SECRETS, "key")
            if number == 1050:
                assert not any("first-value" in text for text in values(stage.get(SECRETS, "python-egress")).values())
                assert resolved(stage, "keys") == ("False", "SecretNotFound")
        assert said == {("False", "Contested")}
        await stage.rest()
        assert programmed(stage, "keys")[:2] == ("True", "Distributed")

    played(story)


@pytest.mark.parametrize("slow", [0, 15])
def test_once_waits_for_what_was_only_put_off(monkeypatch: pytest.MonkeyPatch, slow: int):
    """A Secret that was written as often as may be, when a credential changes; also where all else took long."""

    async def story(stage: Stage):
        for raw in (template(), injecting(), secret()):
            stage.put(raw)
        assert await stage.once() is True
        wrote, made = 0, Workshop.make

        async def and_then(*args):
            nonlocal wrote
            found = await made(*args)
            if wrote < 3:
                await asyncio.sleep(0 if wrote else slow)
                wrote += 1
                stage.put(secret(apiKey=f"value-{wrote}-end"))
            return found

        monkeypatch.setattr(Workshop, "make", and_then)
        stage.put(secret(apiKey="value-0-end"))
        assert await stage.once() is True
        assert wrote == 3
        assert "value-3-end" in "".join(values(stage.get(SECRETS, "python-egress")).values())

    played(story)


def test_of_a_network_policy_that_is_somebody_else_s_the_profiles_say_so():
    async def story(stage: Stage):
        theirs = {"name": "python-network-policy", "namespace": "team-a"}
        stage.put({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": theirs, "spec": {"podSelector": {}}})
        for raw in (template(), profile("limits")):
            stage.put(raw)
        await stage.start()
        await stage.rest()
        assert programmed(stage)[:2] == ("False", "OwnershipConflict")
        assert "NetworkPolicy python-network-policy is not controlled by the SandboxTemplate" in programmed(stage)[2]

    played(story)


def test_once_does_not_claim_a_template_with_which_there_is_a_bug(monkeypatch: pytest.MonkeyPatch):
    broken(monkeypatch, "python")

    async def story(stage: Stage):
        for raw in (template(), profile("limits")):
            stage.put(raw)
        assert await stage.once() is False

    played(story)


def test_once_does_not_claim_a_template_that_cannot_be_read():
    async def story(stage: Stage):
        stage.put({**template(), "spec": {"podTemplate": "text"}})
        assert await stage.once() is False

    played(story)
