"""Pods are told of new content once, and once more two seconds later, not faster than the rate."""

import asyncio
from itertools import pairwise

import pytest

from controller.nudger import PODS_BY_HASH, REVISION, Nudger, Rate, moment, pods_by_hash
from daemon.kinds import PODS
from kube.client import Client
from kube.errors import Unavailable
from kube.objects import Key, Raw, annotations, labels
from kube.store import Store
from unit_tests.controller.raw_objects import pod, secret
from unit_tests.controller.stage import now
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

PYTHON = Key("team-a", "python")
CONTENT = "0123456789abcdef0123"
REV = CONTENT[:16]


def egress(content: str = CONTENT, written: str = "2026-01-01T00:00:00Z") -> Raw:
    return secret("python-egress", annotations={"groyne.dev/content-hash": content, "groyne.dev/written-at": written})


class Desk:
    """A nudger whose store says what the server has, as a watch that is never late would."""

    def __init__(self, rate: float = 50.0) -> None:
        self.server = FakeServer([PODS])
        self.server.storage.clock = lambda: f"{now():%Y-%m-%dT%H:%M:%SZ}"
        self.secret: Raw | None = egress()
        self.counted: list[str] = []
        self.rate = rate

    def secrets_metadata(self, key: Key) -> Raw | None:
        return self.secret if key == Key("team-a", "python-egress") else None

    def nudger(self) -> Nudger:
        reader = type("Reader", (), {"metadata": staticmethod(self.secrets_metadata)})()
        client = Client(self.server, field_manager="test")
        return Nudger(client=client, pods=Fresh(self.server), secrets=reader, rate=Rate(self.rate), count=self.counted.append)

    def make(self, *names: str, of: str = "python", **head) -> None:
        for name in names:
            self.server.storage.create(PODS, pod(name, of=of, **head))

    def revision(self, name: str) -> str | None:
        return annotations(self.server.storage.get(PODS, Key("team-a", name))).get(REVISION)

    def patches(self):
        return [(sent.key.name, sent.time) for sent in self.server.writes()]


class Fresh(Store):
    def __init__(self, server: FakeServer) -> None:
        super().__init__({PODS_BY_HASH: pods_by_hash})
        self.server = server

    def by_index(self, name: str, value: str) -> list[Raw]:
        self.replace(self.server.storage.objects(PODS).values())
        return super().by_index(name, value)


async def until_done(nudger: Nudger) -> None:
    while (again := (await nudger(PYTHON)).requeue_after) is not None:  # noqa: ASYNC110 — a work queue does no more
        await asyncio.sleep(again)


def test_each_pod_of_the_template_is_told_once_and_once_more_two_seconds_later():
    async def story():
        desk = Desk()
        desk.make("one", "two")
        desk.make("other", of="go")
        await until_done(desk.nudger())
        assert sorted(name for name, _ in desk.patches()) == ["one", "one", "two", "two"]
        first, second = (time for name, time in desk.patches() if name == "one")
        assert 2.0 <= second - first < 2.1
        assert desk.revision("one") == desk.revision("two") == f"{REV}.2"
        assert desk.counted == ["patched"] * 4

    run(story())


def test_the_same_content_is_told_never_again_also_not_by_another_process():
    async def story():
        desk = Desk()
        desk.make("one")
        await until_done(desk.nudger())
        await until_done(desk.nudger())
        assert len(desk.patches()) == 2

    run(story())


def test_other_content_is_told_anew():
    async def story():
        desk = Desk()
        desk.make("one")
        nudger = desk.nudger()
        await until_done(nudger)
        desk.secret = egress("fedcba9876543210ff")
        await until_done(nudger)
        assert len(desk.patches()) == 4
        assert desk.revision("one") == "fedcba9876543210.2"

    run(story())


def test_a_process_that_ended_in_between_leaves_the_second_time_to_the_next():
    async def story():
        desk = Desk()
        desk.make("one")
        await desk.nudger()(PYTHON)
        assert desk.revision("one") == REV
        await until_done(desk.nudger())
        assert desk.revision("one") == f"{REV}.2"

    run(story())


def test_asked_ten_times_a_second_it_tells_no_more_often():
    async def story():
        desk = Desk()
        desk.make("one")
        nudger = desk.nudger()
        for _ in range(100):
            await nudger(PYTHON)
            await asyncio.sleep(0.1)
        assert len(desk.patches()) == 2

    run(story())


def test_a_pod_that_was_made_after_the_secret_was_written_needs_none():
    async def story():
        desk = Desk()
        await asyncio.sleep(60)
        desk.make("young")
        await until_done(desk.nudger())
        assert desk.patches() == []

    run(story())


def test_a_pod_that_is_going_is_left_alone():
    async def story():
        desk = Desk()
        desk.make("one", finalizers=["x/y"])
        desk.server.storage.delete(PODS, Key("team-a", "one"))
        await until_done(desk.nudger())
        assert desk.patches() == []

    run(story())


def test_no_secret_no_nudge():
    async def story():
        desk = Desk()
        desk.make("one")
        desk.secret = None
        await until_done(desk.nudger())
        assert desk.patches() == []

    run(story())


def test_patches_come_evenly_at_the_rate_and_never_faster():
    async def story():
        desk = Desk(rate=10)
        desk.make(*(f"p{n:02}" for n in range(30)))
        await until_done(desk.nudger())
        times = [time for _, time in desk.patches()]
        assert len(times) == 60
        assert all(later - earlier >= 0.099 for earlier, later in pairwise(times))

    run(story())


def test_a_pod_that_cannot_be_patched_keeps_no_other_from_being_told_and_is_tried_again():
    async def story():
        desk = Desk()
        desk.make("one", "two")
        desk.server.before = lambda sent: refusal(500) if sent.key.name == "one" else None
        nudger = desk.nudger()
        with pytest.raises(Unavailable):
            await nudger(PYTHON)
        assert desk.revision("two") == REV
        assert "failed" in desk.counted
        desk.server.before = lambda sent: None
        await until_done(nudger)
        assert desk.revision("one") == desk.revision("two") == f"{REV}.2"

    run(story())


@pytest.mark.parametrize(("code", "reason"), [(404, "NotFound"), (422, "Invalid")])
def test_a_pod_that_is_gone_or_refused_as_such_is_no_failure(code, reason):
    async def story():
        desk = Desk()
        desk.make("one", "two")
        desk.server.before = lambda sent: refusal(code, reason) if sent.key.name == "one" else None
        await until_done(desk.nudger())
        assert desk.revision("two") == f"{REV}.2"

    run(story())


def test_nothing_but_the_one_annotation_is_written_and_only_to_that_very_pod():
    async def story():
        desk = Desk()
        desk.make("one")
        await desk.nudger()(PYTHON)
        uid = desk.server.storage.get(PODS, Key("team-a", "one"))["metadata"]["uid"]
        assert desk.server.writes()[0].body == {"metadata": {"uid": uid, "annotations": {REVISION: REV}}}

    run(story())


def test_a_pod_is_found_by_its_template_s_hash_and_one_without_by_nothing():
    assert pods_by_hash(pod()) == (f"team-a/{labels(pod())['agents.x-k8s.io/sandbox-template-ref-hash']}",)
    assert pods_by_hash({"metadata": {"name": "x", "labels": "nonsense"}}) == ()


def test_a_time_that_is_none_is_no_time():
    assert moment("2026-01-01T00:00:00Z").year == 2026
    assert moment("yesterday") is moment(7) is moment(None) is None
