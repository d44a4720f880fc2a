"""What could not be read just now stays as it was; what may not be read is gone, and held nowhere."""

import asyncio

from daemon.kinds import SECRETS
from daemon.secret_reader import SecretReader
from extproc.feed.values import Values
from kube.client import Client
from kube.informer import Informer
from kube.objects import Key
from unit_tests.controller.raw_objects import secret
from unit_tests.kube.fake_server import FakeServer
from unit_tests.kube.virtual import run

KEY = Key("team-a", "key")


def test_before_a_namespace_was_listed_its_secrets_are_asked_for_again_and_those_known_stay():
    """A namespace that lost its label and has it again is listed anew; nothing of it is missing meanwhile."""

    async def story():
        server, again = FakeServer([SECRETS]), []
        server.storage.create(SECRETS, secret(apiKey="one"))
        client = Client(server, field_manager="test")

        def informer():
            return Informer(client, SECRETS, namespace="team-a", metadata_only=True, random=lambda: 0.5)

        watched = informer()
        values = Values(client, SecretReader(client, lambda _: watched), again=lambda: again.append(1))
        assert await values.secrets([KEY]) == {}
        assert again.pop()
        task = asyncio.ensure_future(watched.run())
        await watched.wait_synced()
        known = await values.secrets([KEY])
        assert known["team-a", "key"].data == {"apiKey": b"one"}
        assert again == []
        watched = informer()
        assert await values.secrets([KEY]) == known
        assert again
        watched = None
        assert await values.secrets([KEY]) == {}
        task.cancel()

    run(story())


def test_a_value_that_comes_when_its_namespace_has_closed_is_not_held():
    """It was asked for before."""

    async def story():
        server = FakeServer([SECRETS], before=lambda sent: 5.0 if sent.verb == "get" else None)
        server.storage.create(SECRETS, secret())
        client = Client(server, field_manager="test")
        opened = watched = Informer(client, SECRETS, namespace="team-a", metadata_only=True, random=lambda: 0.5)
        reader = SecretReader(client, lambda _: watched)
        values = Values(client, reader, again=lambda: None)
        task = asyncio.ensure_future(opened.run())
        await opened.wait_synced()
        asked = asyncio.ensure_future(values.secrets([KEY]))
        await asyncio.sleep(1)
        watched = None
        reader.forget_closed("team-a")
        await asked
        assert await values.secrets([KEY]) == {}
        assert reader._kept == {}
        task.cancel()

    run(story())
