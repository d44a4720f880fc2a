"""Credentials of a cluster: which Secrets are read, how they are followed, and when they are taken away."""

import base64

import pytest

from daemon.kinds import CONFIG_MAPS, PROFILES, SECRETS
from extproc.feed.cluster import REREAD
from policy.program import Identity
from unit_tests.controller.raw_objects import injecting, profile, secret
from unit_tests.controller.stage import OPT_IN, namespace
from unit_tests.extproc.feed.clusters import KEY, SOON, cluster, config_map
from unit_tests.kube.fake_server import refusal
from unit_tests.kube.virtual import run


def test_a_credential_is_followed():
    """Rotated it is in the next snapshot; deleted it is gone; made anew it is back."""

    async def story():
        async with cluster(injecting(), secret(apiKey="one")) as made:
            assert made.credential == "one"
            made.put(secret(apiKey="two"))
            await made.rest()
            assert made.credential == "two"
            made.drop(SECRETS, "key")
            await made.rest()
            assert made.credential is None
            made.put(secret(apiKey="three"))
            await made.rest()
            assert made.credential == "three"

    run(story())


def test_only_secrets_that_a_rule_names_are_read():
    """Of all others the metadata alone."""

    async def story():
        async with cluster(injecting(), secret(), secret("other", apiKey="not-asked-for")) as made:
            read = [sent.key.name for sent in made.server.sent if sent.resource == SECRETS and sent.verb == "get"]
            assert read == ["key"]
            assert all("Partial" in sent.accept for sent in made.server.sent if sent.resource == SECRETS and sent.verb in {"list", "watch"})

    run(story())


def test_a_namespace_that_opts_out_takes_its_credentials_along():
    """By its label or by its RoleBinding; other namespaces are not disturbed."""

    async def story():
        async with cluster(injecting(), secret()) as made:
            assert made.credential
            made.put(namespace("team-a"))
            await made.rest()
            assert made.credential is None
            made.put(namespace("team-a", **OPT_IN))
            await made.rest(5.0)
            assert made.credential

    run(story())


def test_the_loss_of_the_right_to_read_takes_the_credentials_along():
    """When the watch is opened again and refused."""

    async def story():
        async with cluster(injecting(), secret()) as made:
            made.bound.clear()
            for stream in list(made.server.streams):
                stream.cut()
            await made.rest(60.0)
            assert made.credential is None
            made.bound.add("team-a")
            await made.rest(400.0)
            assert made.credential

    run(story())


@pytest.mark.parametrize("named", [True, False])
def test_a_namespace_that_opts_out_leaves_no_value_behind(named):
    """Also of a Secret that no profile names any more: who opts in again has it read again."""

    async def story():
        async with cluster(injecting(), secret()) as made:

            def gets():
                return sum(sent.resource == SECRETS and sent.verb == "get" for sent in made.server.sent)

            assert (made.credential, gets()) == ("first-value", 1)
            if not named:
                made.drop(PROFILES, "keys")
                await made.rest()
            made.put(namespace("team-a"))
            await made.rest()
            assert made.credential is None
            made.put(namespace("team-a", **OPT_IN))
            made.put(injecting())
            await made.rest(5.0)
            assert (made.credential, gets()) == ("first-value", 2)

    run(story())


def test_a_secret_that_may_not_be_read_is_none():
    """In a namespace that never opted in nothing is even asked for."""

    async def story():
        async with cluster(injecting(), secret(), opted_in=False) as made:
            assert made.rules == ["key"]
            assert made.credential is None
            assert not [sent for sent in made.server.sent if sent.resource == SECRETS]

    run(story())


def test_a_value_that_cannot_be_read_now_stays_as_it_was():
    """And is read when it can be."""

    async def story():
        async with cluster(injecting(), secret(apiKey="one")) as made:
            made.fault = lambda sent: refusal(500, "InternalError") if sent.resource == SECRETS and sent.verb == "get" else None
            made.put(secret(apiKey="two"))
            await made.rest()
            assert made.credential == "one"
            made.fault = lambda sent: None
            await made.rest(10.0)
            assert made.credential == "two"

    run(story())


@pytest.mark.parametrize("code", [429, 503])
def test_after_a_restart_a_secret_that_cannot_be_listed_yet_is_not_missing(code):
    """Nothing is decided before it is known."""

    async def story():
        async with cluster(injecting(), secret(), begun=False) as made:
            made.fault = lambda sent: refusal(code) if sent.resource == SECRETS else None
            await made.start()
            await made.rest(30.0)
            assert not made.snapshots
            made.fault = lambda sent: None
            await made.rest(60.0)
            assert {
                each.view(Identity(namespace="team-a", labels=(("app", "agent"),))).credentials.get(KEY) for each in made.snapshots
            } == {"first-value"}

    run(story())


def test_config_maps_that_inputs_name_are_read_again_and_again():
    """They have no watch."""
    reading = profile(inputs=[{"name": "known", "configMap": {"name": "known"}}])

    async def story():
        async with cluster(reading, config_map(a="1")) as made:
            ref = made.view.selection.profiles[0].ref
            assert made.view.inputs[ref] == {"known": {"a": "1"}}
            before = len(made.snapshots)
            await made.rest(3 * REREAD)
            assert len(made.snapshots) == before, "what is the same is no reason to begin anew"
            made.put(config_map(a="2"))
            await made.rest(REREAD + SOON)
            assert made.view.inputs[ref] == {"known": {"a": "2"}}
            made.drop(CONFIG_MAPS, "known")
            await made.rest(REREAD + SOON)
            assert made.view.inputs.get(ref, {}) == {}

    run(story())


def test_no_value_is_logged(caplog):
    """At any level, also where a value cannot be read."""
    hidden = base64.b64encode(b"first-value").decode()

    async def story():
        async with cluster(injecting(), secret()) as made:
            made.fault = lambda sent: refusal(500, "InternalError") if sent.resource == SECRETS and sent.verb == "get" else None
            made.put(secret(apiKey="second-value"))
            await made.rest(5.0)

    with caplog.at_level("DEBUG"):
        run(story())
    told = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "read the cluster" in told
    assert not {"first-value", "second-value", hidden} & set(told.split())
    assert "-value" not in told
