"""After a restart, profiles that do not compile go on as the Secrets of their namespace say, and nothing is read for nothing."""

import base64
import json

import pytest

from daemon import last_good
from daemon.kinds import SECRETS
from daemon.last_good import LastGood, kept_versions
from daemon.profile_book import ProfileBook, ref_of
from kube.client import Client
from kube.errors import Unavailable
from unit_tests.controller.raw_objects import global_profile, profile, rule, secret
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

BROKEN = [rule(domain="a..b")]
LIMITS, HOUSE = ref_of(profile()), ref_of(global_profile())


def kept(name: str, *raws, space: str = "team-a"):
    """A template's Secret, made from these."""
    sources = []
    for raw in raws:
        book = ProfileBook()
        book.put(raw)
        sources.append(book.get(ref_of(raw)).version.source)
    made = secret(name, space)
    made["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "groyne"}
    return {**made, "data": {"profiles.json": base64.b64encode(json.dumps(sources).encode()).decode()}}


class Desk:
    def __init__(self, book, *secrets) -> None:
        self.server, self.book, self.changed = FakeServer([SECRETS]), ProfileBook(), []
        for raw in secrets:
            self.server.storage.create(SECRETS, raw)
        for raw in book:
            self.book.put(raw)
        client = Client(self.server, field_manager="test")
        self.last_good = LastGood(client=client, profiles=self.book, changed=self.changed.append)

    def generation(self, ref=LIMITS):
        version = self.book.get(ref).version
        return version and version.generation

    def ensure(self, *namespaces):
        async def asked():
            for each in namespaces:
                await self.last_good.ensure(each)

        run(asked())
        return self


def broken(generation: int = 5, **more):
    return profile(rules=BROKEN, generation=generation, **more)


def test_where_every_profile_compiles_nothing_is_read():
    assert Desk([profile()], kept("a-egress", profile())).ensure("team-a").server.sent == []


def test_a_profile_that_does_not_compile_goes_on_as_it_was_and_that_is_told():
    desk = Desk([broken()], kept("a-egress", profile(generation=3))).ensure("team-a")
    assert desk.generation() == 3
    assert [(change.ref, change.before, change.after.ref) for change in desk.changed] == [(LIMITS, None, LIMITS)]


def test_a_namespace_is_asked_once():
    desk = Desk([broken()], kept("a-egress", profile())).ensure("team-a", "team-a", "team-a")
    assert len(desk.server.sent) == 1


def test_everywhere_is_every_namespace():
    desk = Desk([broken(), global_profile(rules=BROKEN)], kept("a-egress", profile(), global_profile())).ensure("", "team-a", "team-b")
    assert (desk.generation(), desk.generation(HOUSE)) == (1, 1)
    assert len(desk.server.sent) == 1


def test_a_namespace_s_secrets_say_nothing_of_another_one_s_profiles():
    desk = Desk([broken()], kept("b-egress", global_profile(), space="team-b")).ensure("team-b")
    assert desk.server.sent == []
    assert desk.generation() is None


def test_an_object_that_was_made_anew_has_no_past():
    assert Desk([broken(uid="another")], kept("a-egress", profile())).ensure("team-a").generation() is None


def test_what_is_in_force_already_gives_way_to_nothing_older():
    """One that stood by has seen generation 4 itself."""
    for seen, in_force in ((4, 4), (2, 3)):
        desk = Desk([profile(generation=seen), broken()], kept("a-egress", profile(generation=3))).ensure("team-a")
        assert desk.generation() == in_force


def test_what_cannot_be_read_is_asked_for_again():
    desk = Desk([broken()], kept("a-egress", profile()))
    desk.server.before = lambda sent: refusal(500)
    with pytest.raises(Unavailable):
        desk.ensure("team-a")
    run(desk.last_good.restore(["team-a"]))
    assert desk.generation() is None
    desk.server.before = lambda sent: None
    assert desk.ensure("team-a").generation() == 1


def test_reading_ends_when_all_are_found(monkeypatch):
    monkeypatch.setattr(last_good, "PAGE", 1)
    secrets = [kept(f"{name}-egress", profile()) for name in "abcdef"]
    assert len(Desk([broken()], *secrets).ensure("team-a").server.sent) == 1
    others = [kept(f"{name}-egress") for name in "abcdef"]
    assert len(Desk([broken()], *others, kept("z-egress", profile())).ensure("team-a").server.sent) == 7


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[7]", "[{}]", '[{"kind": "SecurityProfile"}]', '[{"spec": null}]'])
def test_what_a_hand_has_made_of_it_is_no_version(text):
    assert kept_versions({"data": {"profiles.json": base64.b64encode(text.encode()).decode()}}) == []
