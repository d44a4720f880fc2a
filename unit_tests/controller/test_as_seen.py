"""A patch reaches the very object, in the very version, that was judged; else it is a Conflict and nothing is written."""

import pytest

from controller.as_seen import patch_as_seen
from daemon.kinds import SECRETS
from kube.client import Client
from kube.errors import Conflict, Invalid, NotFound
from kube.objects import Key
from unit_tests.controller.raw_objects import secret
from unit_tests.kube.fake_server import FakeServer
from unit_tests.kube.virtual import run

KEY = Key("team-a", "key")
EDIT = [{"op": "add", "path": "/data", "value": {"a": "Yg=="}}]


def patched(between=lambda storage: None, operations=EDIT):
    server = FakeServer([SECRETS])

    async def story():
        seen = server.storage.create(SECRETS, secret())
        between(server.storage)
        return await patch_as_seen(Client(server, field_manager="test"), SECRETS, KEY, seen, operations)

    return run(story())


def test_what_has_not_changed_is_patched():
    assert patched()["data"] == {"a": "Yg=="}


def test_what_somebody_has_changed_meanwhile_is_not():
    with pytest.raises(Conflict):
        patched(lambda storage: storage.update(SECRETS, KEY, {**storage.get(SECRETS, KEY), "data": {"theirs": "eA=="}}))


def test_nor_is_what_was_made_anew_under_the_same_name():
    def anew(storage):
        storage.delete(SECRETS, KEY)
        storage.create(SECRETS, secret())

    with pytest.raises(Conflict):
        patched(anew)


def test_what_is_gone_is_not_made_again():
    with pytest.raises(NotFound):
        patched(lambda storage: storage.delete(SECRETS, KEY))


def test_a_patch_that_is_wrong_in_itself_is_no_conflict():
    with pytest.raises(Invalid):
        patched(operations=[{"op": "replace", "path": "/nowhere/at/all", "value": 1}])
