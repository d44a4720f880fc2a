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
