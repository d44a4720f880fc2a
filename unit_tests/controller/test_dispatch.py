"""From what happened to the keys that are looked at: a key too few would leave a pod wrong."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.dispatch import Dispatch, SecretUsers
from controller.template_book import TemplateBook
from daemon.profile_book import ProfileBook, ref_of
from kube.objects import Key, key_of
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import global_profile, pod, profile, rule, secret, template

ONE, TWO, THERE = Key("team-a", "one"), Key("team-a", "two"), Key("team-b", "one")


@dataclass
class Desk:
    """Everything that was asked for, since it was last taken."""

    asked: list = field(default_factory=list)
    there: set = field(default_factory=set)

    def __post_init__(self):
        def note(what):
            return lambda key: self.asked.append((what, key))

        self.users = SecretUsers()
        self.dispatch = Dispatch(
            profiles=ProfileBook(),
            templates=TemplateBook(),
            users=self.users,
            template=note("template"),
            again=note("again"),
            profile=note("profile"),
            order=note("order"),
            nudge=note("nudge"),
            exists=self.there.__contains__,
        )

    def template(self, raw, old=None):
        self.there.add(key_of(raw))
        self.dispatch.on_template(old, raw)
        return self

    def taken(self, *kinds):
        found = {each for each in self.asked if not kinds or each[0] in kinds}
        self.asked.clear()
        return found


@pytest.fixture
def desk():
    found = Desk().template(template("one")).template(template("two", labels={"app": "web"})).template(template("one", "team-b"))
    found.taken()
    return found


def changed(raw, **head):
    return {**raw, "metadata": {**raw["metadata"], **head}}


LABELLED = changed(template("one"), labels={HASH_LABEL: name_hash("one"), "app": "theirs"})


def test_a_template_that_comes_back_with_our_label_is_not_looked_at_again(desk):
    desk.template(changed(LABELLED, resourceVersion="2"), old=template("one"))
    desk.template(changed(LABELLED, resourceVersion="3", managedFields=[{}]), old=LABELLED)
    assert desk.taken() == set()


@pytest.mark.parametrize(
    "head",
    [
        {"generation": 2},
        {"uid": "another"},
        {"annotations": {"groyne.dev/passthrough-domains": "a.example"}},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"labels": {"app": "theirs"}},
        {"labels": {HASH_LABEL: "wrong"}},
        {"generation": None},
    ],
)
def test_whatever_else_becomes_of_a_template_is_looked_at(desk, head):
    desk.template(changed(LABELLED, **head), old=LABELLED)
    assert ("template", ONE) in desk.taken()


def test_a_template_is_looked_at_for_its_own_changes(desk):
    desk.dispatch.on_template(template("one"), template("one", labels={"app": "web"}))
    assert desk.taken() == {("template", ONE)}
    desk.dispatch.on_template(template("one"), None)
    assert desk.taken() == {("template", ONE)}


def test_an_edit_of_a_profile_reaches_the_templates_that_it_selected_and_those_that_it_selects(desk):
    desk.dispatch.on_profile(None, profile())
    assert desk.taken() == {("template", ONE), ("profile", ref_of(profile())), ("order", "team-a")}
    desk.dispatch.on_profile(profile(), profile(labels={"app": "web"}, generation=2))
    assert desk.taken("template") == {("template", ONE), ("template", TWO)}
    desk.dispatch.on_profile(profile(labels={"app": "web"}, generation=2), None)
    assert desk.taken() == {("template", TWO), ("order", "team-a")}


def test_a_global_profile_reaches_every_namespace(desk):
    desk.dispatch.on_profile(None, global_profile())
    assert desk.taken("template") == {("template", ONE), ("template", THERE)}


def test_a_change_of_a_profiles_status_is_looked_at_by_the_profile_alone(desk):
    desk.dispatch.on_profile(None, profile())
    desk.taken()
    desk.dispatch.on_profile(profile(), {**profile(version="2"), "status": {"conditions": []}})
    assert desk.taken() == {("profile", ref_of(profile()))}


def test_a_profile_that_stops_compiling_asks_for_no_template(desk):
    desk.dispatch.on_profile(None, profile())
    desk.taken()
    desk.dispatch.on_profile(profile(), profile(rules=[rule(domain="a..b")], generation=2))
    assert desk.taken("template") == {("template", ONE)}


def test_a_secret_is_looked_at_by_all_whose_rules_name_it_there_or_not(desk):
    desk.users.put(ONE, [Key("team-b", "key")])
    desk.users.put(THERE, [Key("team-b", "key"), Key("team-b", "other")])
    desk.dispatch.on_secret(None, secret(namespace="team-b"))
    assert desk.taken() == {("template", ONE), ("template", THERE)}
    desk.users.put(ONE, [])
    desk.dispatch.on_secret(secret(namespace="team-b"), None)
    assert desk.taken() == {("template", THERE)}


@pytest.mark.parametrize("suffix", ["-network-policy", "-groyne"])
def test_a_policy_is_looked_at_by_the_template_after_which_it_is_named(desk, suffix):
    raw = {"metadata": {"name": f"one{suffix}", "namespace": "team-a"}}
    for change in ((None, raw), (raw, raw), (raw, None)):
        desk.dispatch.on_policy(*change)
        assert desk.taken() == {("template", ONE)}
    desk.dispatch.on_policy(None, {"metadata": {"name": f"none{suffix}", "namespace": "team-a"}})
    desk.dispatch.on_policy(None, {"metadata": {"name": "one", "namespace": "team-a"}})
    assert desk.taken() == set()


def egress(content: str):
    return secret("one-egress", annotations={"groyne.dev/content-hash": content})


def test_pods_are_nudged_when_the_watch_shows_other_content_and_only_then(desk):
    desk.dispatch.on_secret(None, egress("a"))
    assert desk.taken() == {("template", ONE), ("nudge", ONE)}
    desk.dispatch.on_secret(egress("a"), egress("a"))
    assert desk.taken() == {("template", ONE)}
    desk.dispatch.on_secret(egress("a"), egress("b"))
    assert desk.taken("nudge") == {("nudge", ONE)}
    desk.dispatch.on_secret(egress("b"), None)
    assert desk.taken("nudge") == set()


def test_a_pod_that_appears_is_a_reason_to_look_and_a_pod_that_changes_is_none(desk):
    desk.dispatch.on_pod(None, pod(of="one"))
    assert desk.taken() == {("nudge", ONE)}
    desk.dispatch.on_pod(pod(of="one"), pod(of="one"))
    desk.dispatch.on_pod(pod(of="one"), None)
    desk.dispatch.on_pod(None, pod(of="unknown"))
    desk.dispatch.on_pod(None, {"metadata": {"name": "x", "namespace": "team-a"}})
    assert desk.taken() == set()


def test_whether_a_namespaces_secrets_can_be_read_concerns_its_templates_and_users_elsewhere(desk):
    desk.users.put(ONE, [Key("team-b", "key")])
    desk.dispatch.namespace("team-b")
    assert desk.taken("again", "template") == {("again", THERE), ("again", ONE)}
    desk.dispatch.namespace("")
    assert desk.taken("again") == {("again", ONE), ("again", TWO), ("again", THERE)}


def test_everything_is_every_template_and_every_profile(desk):
    desk.dispatch.on_profile(None, global_profile())
    desk.taken()
    desk.dispatch.everything()
    assert desk.taken("again", "profile") == {("again", ONE), ("again", TWO), ("again", THERE), ("profile", ref_of(global_profile()))}


def test_a_template_that_could_never_be_read_is_one_of_all(desk):
    desk.dispatch.on_template(None, {**template("three"), "spec": "nonsense"})
    desk.taken()
    desk.dispatch.everything()
    assert ("again", Key("team-a", "three")) in desk.taken()
    desk.dispatch.namespace("team-a")
    assert ("again", Key("team-a", "three")) in desk.taken()


@pytest.mark.parametrize("junk", [{}, {"metadata": None}, {"metadata": {"name": 3}}, {"metadata": {"name": "x", "labels": []}}])
def test_an_object_that_is_none_raises_nothing(desk, junk):
    for handler in (desk.dispatch.on_policy, desk.dispatch.on_secret, desk.dispatch.on_pod):
        handler(None, junk)
        handler(junk, None)


KEYS = st.sampled_from([Key("a", "x"), Key("a", "y"), Key("b", "x")])


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO, THERE]), st.sets(KEYS)), max_size=12))
def test_who_uses_a_secret_is_what_each_template_said_last(steps):
    users, said = SecretUsers(), {}
    for who, keys in steps:
        users.put(who, keys)
        said[who] = keys
    for key in (Key("a", "x"), Key("a", "y"), Key("b", "x")):
        assert users.of(key) == {who for who, keys in said.items() if key in keys}
    assert users.of_namespace("a") == {who for who, keys in said.items() if any(key.namespace == "a" for key in keys)}
    assert users.of_namespace("") == {who for who, keys in said.items() if keys}
