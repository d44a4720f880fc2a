"""A unified Secret is written only where a byte differs, only onto what was read, and never where it is not ours."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, UnifiedSecret, content_hash
from controller.pace import Pace, TooSoon
from controller.secret_writer import WRITTEN_AT, SecretWriter, refused, with_profiles
from daemon.kinds import SECRETS
from daemon.last_good import PROFILES_KEY, kept_versions
from daemon.profile_book import ProfileBook, ref_of
from kube.client import Client
from kube.errors import Conflict, Unavailable
from kube.objects import Key, annotations, labels
from unit_tests.controller.raw_objects import profile, secret
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

KEY = Key("team-a", "python-egress")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = {"app.kubernetes.io/managed-by": "groyne"}
OWNER = {"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxTemplate", "name": "python", "uid": "u", "controller": True}


def wanted(**texts: str) -> UnifiedSecret:
    data = {name: Redacted(text.encode()) for name, text in sorted(texts.items())}
    head = {"name": KEY.name, "namespace": KEY.namespace, "labels": OURS, "ownerReferences": [OWNER]}
    return UnifiedSecret(metadata={**head, "annotations": {CONTENT_HASH: content_hash(data)}}, data=data)


class Desk:
    def __init__(self) -> None:
        self.server = FakeServer([SECRETS])
        self.writer = SecretWriter(Client(self.server, field_manager="test"), Pace())

    @property
    def live(self):
        return self.server.storage.get(SECRETS, KEY)

    async def bring(self, secret: UnifiedSecret, now: datetime = NOW):
        return await self.writer.bring(KEY, secret, await self.writer.read(KEY), now=now)


def played(story):
    async def play():
        return await story(Desk())

    return run(play())


def test_the_same_content_is_written_once():
    async def story(desk):
        first = await desk.bring(wanted(a="1"))
        again = await desk.bring(wanted(a="1"), NOW + timedelta(days=1))
        assert (first.changed, again.changed) == (True, False)
        assert first.version == again.version == desk.live["metadata"]["resourceVersion"]
        assert [sent.verb for sent in desk.server.writes()] == ["create"]

    played(story)


def test_a_change_replaces_all_of_the_content_and_says_when():
    async def story(desk):
        await desk.bring(wanted(a="1", gone="x"))
        later = NOW + timedelta(hours=1)
        assert (await desk.bring(wanted(a="2"), later)).changed
        assert desk.live["data"] == {"a": "Mg=="}
        assert annotations(desk.live)[WRITTEN_AT] == "2026-01-01T01:00:00Z"
        assert annotations(desk.live)[CONTENT_HASH] == wanted(a="2").metadata["annotations"][CONTENT_HASH]

    played(story)


def test_of_what_changes_only_that_is_sent():
    """The bundle alone is a quarter of a megabyte, and seldom another."""

    async def story(desk):
        await desk.bring(wanted(bundle="x" * 10_000, gone="y", edited="1"))
        await desk.bring(wanted(bundle="x" * 10_000, edited="2", new="z"))
        assert desk.live["data"] == wanted(bundle="x" * 10_000, edited="2", new="z").manifest(reveal=True)["data"]
        patched = desk.server.writes()[-1]
        assert patched.verb == "patch"
        assert len(json.dumps(patched.body)) < 2000

    played(story)


def test_a_secret_without_content_gets_all_of_it():
    async def story(desk):
        await desk.bring(wanted(a="1"))
        await desk.writer.client.merge_patch(SECRETS, KEY, {"data": None})
        await desk.bring(wanted(a="1", b="2"))
        assert desk.live["data"] == {"a": "MQ==", "b": "Mg=="}

    played(story)


def test_what_others_put_beside_it_stays():
    async def story(desk):
        await desk.bring(wanted(a="1"))
        head = {**desk.live["metadata"], "labels": {**OURS, "their": "label"}}
        head["annotations"] = {**head["annotations"], "their": "note"}
        desk.server.storage.update(SECRETS, KEY, {**desk.live, "metadata": head})
        assert not (await desk.bring(wanted(a="1"))).changed
        await desk.bring(wanted(a="2"))
        assert labels(desk.live) == {**OURS, "their": "label"}
        assert annotations(desk.live)["their"] == "note"

    played(story)


def test_over_a_change_that_came_after_the_reading_nothing_is_written():
    async def story(desk):
        await desk.bring(wanted(a="1"))
        read = await desk.writer.read(KEY)
        desk.server.storage.update(SECRETS, KEY, {**desk.live, "data": {"theirs": "eA=="}})
        with pytest.raises(Conflict):
            await desk.writer.bring(KEY, wanted(a="2"), read, now=NOW)
        await asyncio.sleep(5)
        with pytest.raises(Conflict):
            await desk.writer.remove(KEY, read)
        assert desk.live["data"] == {"theirs": "eA=="}

    played(story)


def test_a_read_that_fails_is_no_missing_secret():
    async def story(desk):
        desk.server.before = lambda sent: refusal(500)
        with pytest.raises(Unavailable):
            await desk.writer.read(KEY)
        desk.server.before = lambda sent: None
        assert await desk.writer.read(KEY) is None

    played(story)


def test_an_error_repeats_nothing_of_a_secret():
    async def story(desk):
        desk.server.before = lambda sent: refusal(422, "Invalid", message="value s3cr3t is wrong")
        with pytest.raises(Exception, match="422") as raised:
            await desk.bring(wanted(a="s3cr3t"))
        assert "s3cr3t" not in str(raised.value)

    played(story)


def test_one_secret_is_written_twice_a_second_at_most():
    async def story(desk):
        await desk.bring(wanted(a="1"))
        await desk.bring(wanted(a="2"))
        with pytest.raises(TooSoon):
            await desk.bring(wanted(a="3"))
        with pytest.raises(TooSoon):
            await desk.writer.remove(KEY, desk.live)

    played(story)


def live(**head):
    return {**secret("python-egress"), "metadata": {"name": "python-egress", "namespace": "team-a", **head}}


def test_ours_is_what_the_template_controls_by_uid_and_what_has_our_label():
    assert refused(None, "u") is None
    assert refused(live(labels=OURS, ownerReferences=[OWNER]), "u") is None
    for other in (
        live(),
        live(labels=OURS),
        live(ownerReferences=[OWNER]),
        live(labels=OURS, ownerReferences=[{**OWNER, "uid": "of an earlier one"}]),
        live(labels=OURS, ownerReferences=[{**OWNER, "controller": False}]),
    ):
        assert refused(other, "u").reason == "OwnershipConflict"


def test_the_versions_that_it_was_made_from_stand_in_it_and_in_its_hash():
    book = ProfileBook()
    book.put(profile())
    version = book.get(ref_of(profile())).version
    made = with_profiles(wanted(a="1"), [version])
    assert kept_versions(made.manifest(reveal=True)) == [version]
    assert made.metadata["annotations"][CONTENT_HASH] not in (wanted(a="1").metadata["annotations"][CONTENT_HASH], "")
    assert "api.example.com" not in repr(made)
    assert json.loads(made.data[PROFILES_KEY].reveal())[0]["metadata"]["name"] == "limits"
