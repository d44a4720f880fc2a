"""What the server asked to wait with is not asked again before, and nothing else waits for that."""

import asyncio
import json

import pytest

from kube import patience
from kube.carrier import Answer
from kube.client import Client
from kube.errors import Throttled
from kube.objects import Key, Resource
from kube.patience import LONGEST, Patience
from unit_tests.kube.virtual import run

POLICIES = Resource(group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy")
ONE, OTHER = Key("team", "one"), Key("team", "other")


class Busy:
    """Wants five seconds of peace for one object."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, str]] = []

    async def request(self, method, path, **more):
        self.asked.append((asyncio.get_running_loop().time(), path.rsplit("/", 1)[1]))
        if path.endswith("/one") and len(self.asked) == 1:
            return Answer(status=429, headers={"retry-after": "5"}, body=b"{}")
        return Answer(status=200, body=json.dumps({"metadata": {"name": "x", "namespace": "team"}}).encode())


def test_an_object_is_not_asked_for_again_before_its_time_and_others_are():
    async def scenario():
        busy = Busy()
        client = Client(busy, field_manager="test")
        for _ in range(3):
            with pytest.raises(Throttled) as raised:
                await client.get(POLICIES, ONE)
            await client.get(POLICIES, OTHER)
            await asyncio.sleep(1)
        assert raised.value.retry_after == 3
        await asyncio.sleep(2)
        await client.get(POLICIES, ONE)
        assert [moment for moment, name in busy.asked if name == "one"] == [0, 5]
        assert [moment for moment, name in busy.asked if name == "other"] == [0, 1, 2]

    run(scenario())


def test_nobody_can_ask_for_more_than_five_minutes_and_what_is_over_is_forgotten(monkeypatch):
    async def scenario():
        monkeypatch.setattr(patience, "MOST_KEPT", 2)
        found = Patience()
        for item in "abc":
            found.note(item, 1e9)
        assert [found.left(item) for item in "abc"] == [0, LONGEST, LONGEST]
        await asyncio.sleep(LONGEST)
        assert found.left("b") == found.left("c") == 0
        assert found._until == {}

    run(scenario())
