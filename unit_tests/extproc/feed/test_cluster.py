"""A cluster's objects as the source of snapshots, on an API server in memory and on virtual time."""

import asyncio
import json

import pytest

from crds.annotations import OUR_LABELS
from daemon.kinds import GLOBAL_PROFILES, NAMESPACES, PODS, PROFILES, SECRETS, TEMPLATES
from daemon.last_good import PROFILES_KEY
from daemon.profile_book import source_of
from extproc.feed.cluster import ClusterFeed, packed, unpack
from extproc.feed.quiet import LONGEST, QUIET
from kube.objects import Key
from policy.program import Identity
from unit_tests.controller.raw_objects import global_profile, injecting, profile, rule, secret, template
from unit_tests.extproc.feed.clusters import MINE, SOON, broken, cluster, pod
from unit_tests.kube.fake_server import refusal
from unit_tests.kube.virtual import run


@pytest.mark.parametrize("late", [PROFILES, GLOBAL_PROFILES, TEMPLATES, NAMESPACES, SECRETS])
def test_nothing_is_decided_by_before_everything_was_listed(late):
    """Whatever is listed last: a policy that is half read would let pass what the other half refuses."""

    async def story():
        async with cluster(profile(), injecting(), secret(), begun=False) as made:
            made.fault = lambda sent: 6.0 if sent.resource == late and sent.verb == "list" else None
            await made.start()
            await made.rest(5.0)
            assert not made.snapshots
            await made.rest(8.0)
            assert made.rules == ["key", "no-uploads"]
            assert made.credential == "first-value"

    run(story())


def test_a_cluster_without_templates_has_a_gateway_alone():
    """Their kind is not installed, or may not be read."""

    async def story(code, reason):
        async with cluster(profile(), begun=False) as made:
            made.fault = lambda sent: refusal(code, reason) if sent.resource.plural == "sandboxtemplates" else None
            await made.start()
            await made.rest(5.0)
            assert made.rules == ["no-uploads"]

    for code, reason in ((404, "NotFound"), (403, "Forbidden")):
        run(story(code, reason))


def test_a_change_is_in_force_soon_and_many_are_one():
    """When it has been quiet for a moment, and at the latest some time after the first."""

    async def story():
        async with cluster(profile()) as made:
            before = len(made.snapshots)
            for number in range(20):
                made.put(profile(rules=[rule(f"r{number}")]))
                await asyncio.sleep(0.01)
            await made.rest()
            assert made.rules == ["r19"]
            assert len(made.snapshots) - before <= 2
            for number in range(100):
                made.put(profile(rules=[rule(f"s{number}")]))
                await asyncio.sleep(QUIET / 2)
            assert int(made.rules[0].removeprefix("s")) > 100 - 2 * (LONGEST + SOON) / QUIET
            made.drop(PROFILES, "limits")
            await made.rest()
            assert made.rules == []

    run(story())


def test_changes_that_come_while_a_snapshot_is_made_are_gathered_too(monkeypatch):
    """Each is a whole snapshot, made beside requests."""
    read = ClusterFeed._read

    async def slow(*arguments):
        await asyncio.sleep(0.1)
        await read(*arguments)

    async def story():
        async with cluster(profile()) as made:
            before = len(made.snapshots)
            monkeypatch.setattr(ClusterFeed, "_read", slow)
            for number in range(100):
                made.put(profile(rules=[rule(f"r{number}")]))
                await asyncio.sleep(0.05)
            await made.rest()
            assert made.rules == ["r99"]
            assert len(made.snapshots) - before <= 100 * 0.05 / LONGEST + 2

    run(story())


def test_the_change_that_came_first_is_not_put_off_for_ever(monkeypatch):
    """However many come after it."""
    monkeypatch.setattr("extproc.feed.cluster.AT_ONCE", 4)

    async def story():
        async with cluster(profile("first"), *(profile(f"p{number}") for number in range(5))) as made:
            made.put(profile("first", rules=[rule("changed")]))
            for turn in range(20):
                for number in range(5):
                    made.put(profile(f"p{number}", rules=[rule(f"r{turn}")]))
                await asyncio.sleep(0.5)
                if "changed" in made.rules:
                    return
            pytest.fail("it never was in force")

    run(story())


def test_of_very_many_changes_those_that_are_read_hold_before_the_last_is(monkeypatch):
    """But what was there at first holds at once: half a policy is none."""
    monkeypatch.setattr("extproc.feed.cluster.AT_ONCE", 4)

    async def story():
        async with cluster(*(profile(f"p{number}") for number in range(10))) as made:
            assert len(made.snapshots) == 1
            assert len(made.rules) == 10
            for number in range(10):
                made.put(profile(f"p{number}", rules=[rule("changed")]))
            await made.rest()
            changed = [len([each for each in snapshot.view(MINE).selection.rules if each.name == "changed"]) for snapshot in made.snapshots]
            assert changed == [0, 4, 8, 10]

    run(story())


@pytest.mark.parametrize("kubectls", [{}, {"kubectl.kubernetes.io/last-applied-configuration": "x" * 100_000}])
def test_of_a_profile_only_its_head_is_kept_once_it_is_compiled(kubectls):
    """And of that not what kubectl wrote down, which is the whole profile once more."""
    raw = packed(profile(annotations={"groyne.dev/passthrough-domains": "a.example", **kubectls}))
    assert unpack(raw)["spec"] == profile()["spec"]
    assert raw["metadata"]["annotations"] == {"groyne.dev/passthrough-domains": "a.example"}
    assert len(json.dumps(raw)) < 500


def test_what_a_status_says_changes_nothing():
    """The controller writes one after every change."""

    async def story():
        async with cluster(profile()) as made:
            before = len(made.snapshots)
            live = made.server.storage.get(PROFILES, Key("team-a", "limits"))
            made.server.storage.update(PROFILES, Key("team-a", "limits"), {**live, "status": {"conditions": []}}, subresource="status")
            await made.rest()
            assert len(made.snapshots) == before

    run(story())


def test_decisions_go_on_while_the_api_server_is_away():
    """Minutes and hours; then what happened meanwhile is in force."""

    async def story():
        async with cluster(profile(), injecting(), secret()) as made:
            made.fault = lambda sent: ConnectionResetError()
            for stream in list(made.server.streams):
                stream.cut()
            await made.rest(3600.0)
            assert (made.rules, made.credential) == (["key", "no-uploads"], "first-value")
            made.put(profile(rules=[rule("newer")]))
            made.fault = lambda sent: None
            await made.rest(400.0)
            assert made.rules == ["key", "newer"]
            assert made.credential == "first-value"

    run(story())


def test_a_profile_that_does_not_compile_any_more_stays_in_force():
    """While the process runs, and after a restart by what the controller has kept; deleted it is gone."""

    async def story():
        async with cluster(profile()) as made:
            live = made.server.storage.get(PROFILES, Key("team-a", "limits"))
            kept = secret("groyne-python", **{PROFILES_KEY: json.dumps([source_of(live)])})
            made.put({**kept, "metadata": {**kept["metadata"], "labels": OUR_LABELS}})
            made.put(broken())
            await made.rest()
            assert made.rules == ["no-uploads"]
            await made.end()
            made.snapshots.clear()
            await made.start()
            await made.rest()
            assert made.rules == ["no-uploads"]
            assert all(each.view(Identity(namespace="team-a", labels=(("app", "agent"),))).selection.rules for each in made.snapshots)
            made.drop(PROFILES, "limits")
            await made.rest()
            assert made.rules == []

    run(story())


def test_global_profiles_hold_everywhere_and_read_the_pods_own_secrets():
    """A bare reference means the Secret of the pod's namespace."""
    token = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "{{ .Token }}"}}

    async def story():
        async with cluster(global_profile(rules=[rule("own", tokenTransformation=token)]), secret()) as made:
            assert made.rules == ["own"]
            assert made.credential == "first-value"

    run(story())


def test_templates_are_known_by_their_labels():
    """For sidecars that come with a template's certificate; until the template is gone."""

    async def story():
        async with cluster(template("coder")) as made:
            assert ("app", "agent") in made.snapshots[-1].sources.templates["team-a", "coder"]
            made.put(template("coder", labels={"app": "other"}))
            await made.rest()
            assert ("app", "other") in made.snapshots[-1].sources.templates["team-a", "coder"]
            made.drop(TEMPLATES, "coder")
            await made.rest()
            assert made.snapshots[-1].sources.templates == {}

    run(story())


def test_pods_are_known_by_their_addresses():
    """Those that have one of their own: not a node's, not one that has ended, not one that two claim."""

    async def story():
        everywhere = (pod("a", "10.0.0.1"), pod("node", "10.0.0.2", host=True), pod("done", "10.0.0.3", phase="Succeeded"))
        async with cluster(*everywhere, pod("b", "10.0.0.4"), pod("c", "10.0.0.4"), addresses=True) as made:
            pods = made.snapshots[-1].sources.pods
            assert {address: each.name for address, each in pods.items()} == {"10.0.0.1": "a"}
            assert pods["10.0.0.1"].labels == (("app", "agent"),)
            made.drop(PODS, "c")
            made.put(pod("a", "10.0.0.1", phase="Failed"))
            made.put(pod("node", "10.0.0.9"))
            await made.rest()
            found = {address: each.name for address, each in made.snapshots[-1].sources.pods.items()}
            assert found == {"10.0.0.4": "b", "10.0.0.9": "node"}
            made.put(pod("d", "10.0.0.1"))
            await made.rest()
            assert made.snapshots[-1].sources.pods["10.0.0.1"].name == "d"

    run(story())


def test_pods_are_not_watched_where_nobody_asks_by_address():
    """There may be a hundred thousand."""

    async def story():
        async with cluster(pod("a", "10.0.0.1")) as made:
            assert not [sent for sent in made.server.sent if sent.resource == PODS]

    run(story())


def test_one_namespace_is_all_that_is_looked_at():
    """With a Role there, and no right elsewhere but to Global profiles."""

    async def story():
        async with cluster(profile(), injecting(), secret(), profile("theirs", "team-b"), namespace="team-a") as made:
            assert made.credential == "first-value"
            assert {each.ref.namespace for each in made.snapshots[-1].sources.program.profiles} == {"team-a"}
            asked = {sent.key.namespace for sent in made.server.sent if sent.resource != GLOBAL_PROFILES}
            assert asked == {"team-a"}

    run(story())
