"""A NetworkPolicy is made, changed and deleted only as it was last seen, and never where the template does not control it."""

import asyncio

import pytest

from controller.compile.network_policy import network_policy
from controller.pace import Pace, TooSoon
from controller.policy_writer import LONGEST_WARNINGS, WARNINGS, PolicyWriter, warnings_text
from crds import parse
from crds.problem import Problem
from daemon.kinds import NETWORK_POLICIES
from kube.client import Client
from kube.errors import Conflict
from kube.objects import Key, annotations, labels
from kube.store import Store
from unit_tests.controller.raw_objects import template
from unit_tests.kube.fake_server import FakeServer
from unit_tests.kube.virtual import run

KEY = Key("team-a", "python-network-policy")
UID = "uid-team-a-python"


def wanted(**spec):
    return network_policy(parse(template(**spec)).object).manifest


OPEN = wanted(networkPolicy={"egress": [{}]})


class Desk:
    def __init__(self, *, take_over: bool = False) -> None:
        self.server, self.store = FakeServer([NETWORK_POLICIES]), Store()
        self.writer = PolicyWriter(Client(self.server, field_manager="test"), self.store, Pace(), take_over)

    @property
    def live(self):
        return self.server.storage.get(NETWORK_POLICIES, KEY)

    def seen(self):
        """The watch has told of what is there."""
        self.store.replace(self.server.storage.objects(NETWORK_POLICIES).values())

    def theirs(self, **head):
        self.server.storage.create(
            NETWORK_POLICIES, {"metadata": {"name": KEY.name, "namespace": KEY.namespace, **head}, "spec": {"podSelector": {}}}
        )
        self.seen()

    async def bring(self, manifest, **more):
        found = await self.writer.bring(KEY, manifest, uid=UID, **more)
        self.seen()
        return found


def played(story, **more):
    async def play():
        return await story(Desk(**more))

    return run(play())


def test_made_then_left_alone_as_long_as_nothing_changes():
    async def story(desk):
        for _ in range(3):
            assert await desk.bring(wanted()) is None
        assert [sent.verb for sent in desk.server.writes()] == ["create"]

    played(story)


def test_what_the_api_server_fills_in_is_no_change():
    async def story(desk):
        manifest = wanted(networkPolicy={"egress": [{"ports": [{"port": 53}]}]})
        await desk.bring(manifest)
        completed = {**desk.live, "spec": {**manifest["spec"], "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}], "ingress": []}}
        desk.server.storage.update(NETWORK_POLICIES, KEY, completed)
        desk.seen()
        await desk.bring(manifest)
        assert len(desk.server.writes()) == 1

    played(story)


def test_a_hand_s_edit_is_undone_and_what_else_it_added_stays():
    async def story(desk):
        await desk.bring(wanted())
        head = {**desk.live["metadata"], "labels": {**labels(desk.live), "their": "label"}, "annotations": {"their": "note"}}
        desk.server.storage.update(NETWORK_POLICIES, KEY, {**desk.live, "metadata": head, "spec": {"podSelector": {}}})
        desk.seen()
        await desk.bring(wanted())
        assert desk.live["spec"] == wanted()["spec"]
        assert labels(desk.live)["their"] == "label"
        assert annotations(desk.live) == {"their": "note"}

    played(story)


def test_a_policy_that_is_not_wanted_any_more_is_deleted():
    async def story(desk):
        await desk.bring(wanted())
        await desk.bring(None)
        assert desk.live is None
        await desk.bring(None)
        assert len(desk.server.writes()) == 2

    played(story)


def test_over_a_change_that_the_cache_has_not_seen_nothing_is_written():
    async def story(desk):
        await desk.bring(wanted())
        desk.server.storage.update(NETWORK_POLICIES, KEY, {**desk.live, "spec": {"podSelector": {"matchLabels": {"their": "edit"}}}})
        for manifest in (OPEN, None):
            await asyncio.sleep(5)
            with pytest.raises(Conflict):
                await desk.writer.bring(KEY, manifest, uid=UID)
        assert desk.live["spec"]["podSelector"] == {"matchLabels": {"their": "edit"}}

    played(story)


@pytest.mark.parametrize("owner", [[], [{"kind": "SandboxTemplate", "name": "python", "uid": "of an earlier one", "controller": True}]])
def test_what_the_template_does_not_control_is_never_touched(owner):
    async def story(desk):
        desk.theirs(ownerReferences=owner, labels={"app.kubernetes.io/managed-by": "groyne"})
        problem = await desk.bring(wanted())
        assert (problem.reason, problem.fatal) == ("OwnershipConflict", True)
        assert await desk.bring(None) is None
        assert desk.server.writes() == []

    played(story)


def test_agent_sandbox_s_own_policy_is_left_alone_unless_told_to_take_over():
    owner = wanted()["metadata"]["ownerReferences"]

    async def leaving(desk):
        desk.theirs(ownerReferences=owner)
        assert (await desk.bring(wanted())).reason == "ManagedElsewhere"
        assert desk.server.writes() == []

    async def taking(desk):
        desk.theirs(ownerReferences=owner)
        assert await desk.bring(wanted()) is None
        assert desk.live["spec"] == wanted()["spec"]
        assert labels(desk.live)["app.kubernetes.io/managed-by"] == "groyne"
        await desk.bring(wanted())
        assert len(desk.server.writes()) == 1

    played(leaving)
    played(taking, take_over=True)


def test_what_concerns_the_template_stands_in_an_annotation_and_goes_with_its_reason():
    async def story(desk):
        await desk.bring(wanted(), warnings="HashCollision: two")
        assert annotations(desk.live)[WARNINGS] == "HashCollision: two"
        await desk.bring(wanted(), warnings="HashCollision: two")
        assert len(desk.server.writes()) == 1
        await desk.bring(wanted())
        assert WARNINGS not in annotations(desk.live)

    played(story)


def test_somebody_who_undoes_each_write_is_met_twice_a_second_at_most():
    async def story(desk):
        for manifest in (wanted(), OPEN):
            await desk.bring(manifest)
        with pytest.raises(TooSoon):
            await desk.bring(wanted())
        assert len(desk.server.writes()) == 2

    played(story)


def test_warnings_are_cut_to_what_an_annotation_should_hold():
    text = warnings_text(tuple(Problem(reason=f"R{n}", message="x" * 100) for n in range(100)))
    assert len(text) == LONGEST_WARNINGS
    assert text.startswith("R0: xxx")
