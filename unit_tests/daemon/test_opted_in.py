"""A namespace's Secrets are known when they were listed, or when it was said that they may not be."""

import asyncio

import pytest

from daemon.kinds import SECRETS
from daemon.opted_in import OptedIn
from kube.client import Client
from kube.informer import Informer
from unit_tests.controller.raw_objects import secret
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run


def played(story):
    async def play():
        server = FakeServer([SECRETS])
        server.storage.create(SECRETS, secret())
        client = Client(server, field_manager="test")

        def make(namespace, turned):
            return Informer(client, SECRETS, namespace=namespace, metadata_only=True, random=lambda: 0.5, turned=turned)

        async with asyncio.TaskGroup() as group:
            opted_in = OptedIn(group=group, make=make, changed=lambda _: None)
            await story(opted_in, server)
            opted_in.remove("team-a")

    run(play())


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_server_that_is_away_leaves_a_namespace_pending(code):
    """Who went on now would take its Secrets for missing."""

    async def story(opted_in, server):
        server.before = lambda sent: refusal(code)
        opted_in.add("team-a")
        await asyncio.sleep(30)
        assert (opted_in.pending, opted_in.open) == (["team-a"], [])
        server.before = lambda sent: None
        await asyncio.sleep(60)
        assert (opted_in.pending, opted_in.open) == ([], ["team-a"])

    played(story)


def test_a_namespace_that_may_not_be_read_is_waited_for_no_more():
    """Its RoleBinding may never come, and the others are to be served."""

    async def story(opted_in, server):
        server.before = lambda sent: refusal(403, "Forbidden")
        opted_in.add("team-a")
        assert opted_in.pending == ["team-a"]
        await asyncio.sleep(1)
        assert (opted_in.pending, opted_in.open) == ([], [])

    played(story)
