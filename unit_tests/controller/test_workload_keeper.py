"""The Secrets by which ext-proc and sidecars know each other: made once, kept to the byte, renewed in time, never replaced by mistake."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from controller.compile.output import LABELS
from controller.compile.workload_authorities import SUCCESSOR_BEFORE
from controller.compile.workload_certificates import AUTHORITY_LIFETIME, LIFETIME
from controller.compile.workload_secrets import AUTHORITY, SERVER, ext_proc_id
from controller.pace import Pace
from controller.secret_writer import SecretWriter, decoded
from controller.workload_keeper import LOOK, Place, WorkloadKeeper, in_the_way
from daemon.kinds import SECRETS
from kube.client import Client
from kube.errors import ApiError
from kube.objects import Key
from mtls.identity import Purpose, parse_peer, verify
from mtls.spiffe import Peers
from unit_tests.controller.raw_objects import secret
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run

SYSTEM = "groyne-system"
IDENTITY = ext_proc_id("cluster.local", SYSTEM)
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Desk:
    def __init__(self) -> None:
        self.server = FakeServer([SECRETS])
        self.now = SINCE
        self.said, self.changes, self.ends = [], 0, {}
        self.keeper = self.another()

    def another(self) -> WorkloadKeeper:
        """A process that knows nothing yet."""
        return WorkloadKeeper(
            place=Place(namespace=SYSTEM, trust_domain="cluster.local", identity=IDENTITY),
            writer=SecretWriter(Client(self.server, field_manager="test"), Pace()),
            announce=lambda about, problem: self.said.append((about["metadata"]["name"], problem.reason)),
            changed=self._changed,
            expiring=self._expiring,
            now=lambda: self.now,
        )

    def _changed(self) -> None:
        self.changes += 1

    def _expiring(self, ends) -> None:
        self.ends = dict(ends)

    async def look(self, after: timedelta = timedelta()):
        self.now += after
        await asyncio.sleep(5)  # virtual: nothing is written twice within a second
        return await self.keeper(None)

    def data(self, name: str) -> dict[str, bytes]:
        return decoded(self.server.storage.get(SECRETS, Key(SYSTEM, name)))

    @property
    def written(self) -> list[tuple[str, str]]:
        return [(sent.verb, sent.key.name or sent.body["metadata"]["name"]) for sent in self.server.writes()]


def played(story):
    async def play():
        return await story(Desk())

    return run(play())


def test_both_are_made_once_the_authority_first():
    """What is signed is never anywhere before the one who signed it can be found again."""

    async def story(desk):
        await desk.look()
        await desk.look(DAY)
        desk.keeper = desk.another()
        await desk.look(DAY)
        assert desk.written == [("create", AUTHORITY), ("create", SERVER)]
        assert desk.keeper.complete
        assert set(desk.data(SERVER)) == {"tls.crt", "tls.key", "ca.crt"}
        assert set(desk.ends) == {"ca", "leaf"}

    played(story)


def test_ext_proc_is_who_it_is_to_its_callers():
    async def story(desk):
        await desk.look()
        shown = parse_peer(desk.data(SERVER)["tls.crt"], pem=True)
        assert str(verify(shown, peers=Peers.of(IDENTITY), purpose=Purpose.SERVER, now=SINCE)) == IDENTITY

    played(story)


def test_the_certificate_is_renewed_before_its_end_and_the_authority_stays():
    async def story(desk):
        await desk.look()
        before, authority = desk.data(SERVER), desk.data(AUTHORITY)
        await desk.look(LIFETIME * 2 / 3)
        after = desk.data(SERVER)
        assert after["tls.crt"] != before["tls.crt"]
        assert after["ca.crt"] == before["ca.crt"]
        assert desk.data(AUTHORITY) == authority
        assert desk.changes == 1

    played(story)


def test_a_successor_comes_into_the_bundle_and_templates_hear_of_it():
    async def story(desk):
        await desk.look()
        await desk.look(AUTHORITY_LIFETIME - SUCCESSOR_BEFORE)
        assert desk.data(SERVER)["ca.crt"].count(b"BEGIN") == 2
        assert desk.changes == 2
        await desk.look(SUCCESSOR_BEFORE / 2)
        assert desk.data(SERVER)["ca.crt"].count(b"BEGIN") == 2
        assert "ca-next.key" not in desk.data(AUTHORITY)

    played(story)


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_what_could_not_be_read_is_never_replaced(code):
    """By a process that knew it, and by one that never did."""

    async def story(desk):
        await desk.look()
        before = [desk.data(name) for name in (AUTHORITY, SERVER)]
        for name in (AUTHORITY, SERVER):
            desk.server.before = lambda sent, name=name: refusal(code, "Broken") if sent.verb == "get" and sent.key.name == name else None
            for keeper in (desk.keeper, desk.another()):
                desk.keeper = keeper
                with pytest.raises(ApiError):
                    await desk.look(DAY)
                assert not keeper.complete
        desk.server.before = lambda sent: None
        await desk.look(DAY)
        assert [desk.data(name) for name in (AUTHORITY, SERVER)] == before
        assert len(desk.written) == 2

    played(story)


def test_nothing_is_signed_by_an_authority_that_could_not_be_written():
    async def story(desk):
        desk.server.before = lambda sent: refusal(500, "Broken") if sent.verb == "create" else None
        with pytest.raises(ApiError):
            await desk.look()
        assert desk.keeper.authorities is None
        assert desk.changes == 0

    played(story)


def test_an_answer_that_was_lost_makes_no_second_authority():
    async def story(desk):
        desk.server.after = lambda sent, answer: refusal(500, "Broken") if sent.verb == "create" else None
        with pytest.raises(ApiError):
            await desk.look()
        desk.server.after = lambda sent, answer: None
        held = desk.data(AUTHORITY)
        await desk.look()
        assert desk.data(AUTHORITY) == held

    played(story)


@pytest.mark.parametrize("name", [AUTHORITY, SERVER])
def test_a_secret_of_somebody_elses_is_left_as_it_is_and_said(name):
    """cert-manager's, for one. When it is gone, the next look makes ours."""

    async def story(desk):
        desk.server.storage.create(SECRETS, secret(name, SYSTEM, **{"tls.crt": "theirs"}))
        result = await desk.look()
        assert desk.data(name) == {"tls.crt": b"theirs"}
        assert desk.said == [(name, "OwnershipConflict")]
        assert not desk.keeper.complete
        assert result.requeue_after == LOOK
        desk.server.storage.delete(SECRETS, Key(SYSTEM, name))
        await desk.look()
        assert desk.keeper.complete

    played(story)


@pytest.mark.parametrize("name", [AUTHORITY, SERVER])
@pytest.mark.parametrize("controls", [True, False])
def test_a_secret_that_has_an_owner_is_left_as_it_is_although_it_has_our_label(name, controls):
    """The CA of a SandboxTemplate called groyne-ext-proc: to write over it would break that template's sandboxes."""

    async def story(desk):
        theirs = secret(name, SYSTEM, **{"ca.crt": "a template's"})
        owner = {"apiVersion": "v1", "kind": "SandboxTemplate", "name": "groyne-ext-proc", "uid": "u", "controller": controls}
        theirs["metadata"] |= {"labels": LABELS, "ownerReferences": [owner]}
        desk.server.storage.create(SECRETS, theirs)
        await desk.look()
        assert desk.data(name) == {"ca.crt": b"a template's"}
        assert desk.said == [(name, "OwnershipConflict")]
        assert "belongs to SandboxTemplate groyne-ext-proc" in in_the_way(theirs).message
        assert not desk.keeper.complete
        desk.server.storage.delete(SECRETS, Key(SYSTEM, name))
        await desk.look()
        assert desk.keeper.complete

    played(story)


def test_what_somebody_changed_or_deleted_is_as_it_was_within_a_minute():
    async def story(desk):
        assert (await desk.look()).requeue_after == LOOK
        before = desk.data(AUTHORITY)
        desk.server.storage.delete(SECRETS, Key(SYSTEM, SERVER))
        await desk.look()
        assert set(desk.data(SERVER)) == {"tls.crt", "tls.key", "ca.crt"}
        assert desk.data(AUTHORITY) == before

    played(story)


def test_a_deleted_authority_is_replaced_with_all_that_it_signed():
    """That is how an operator takes back trust: nothing of the old one is in the new bundle."""

    async def story(desk):
        await desk.look()
        before = desk.data(SERVER)
        desk.server.storage.delete(SECRETS, Key(SYSTEM, AUTHORITY))
        await desk.look()
        after = desk.data(SERVER)
        assert after["tls.crt"] != before["tls.crt"]
        assert before["ca.crt"] not in after["ca.crt"]
        assert desk.changes == 2

    played(story)


def test_no_key_shows_up_in_a_repr():
    async def story(desk):
        await desk.look()
        assert "PRIVATE" not in repr(desk.keeper)

    played(story)
