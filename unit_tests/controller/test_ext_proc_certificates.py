"""What the whole controller does about certificates for ext-proc: each template that has to ask it can show who it is, and nobody else can."""

import asyncio
import json
from datetime import timedelta

import pytest

from controller.compile.workload_certificates import AUTHORITY_LIFETIME, LIFETIME
from controller.compile.workload_secrets import AUTHORITY, SERVER, ext_proc_id, template_id
from daemon.kinds import PROFILES, SECRETS
from dataplane.sidecar import DIRECTORY
from mtls.identity import Purpose, parse_peer, verify
from mtls.spiffe import Peers
from unit_tests.controller import stage as stage_module
from unit_tests.controller.law_state import values
from unit_tests.controller.raw_objects import profile, rule, template
from unit_tests.controller.stage import Stage, now, staged
from unit_tests.kube import virtual
from unit_tests.kube.fake_server import refusal

SYSTEM = "groyne-system"
CLIENT_FILES = {"external-client.crt", "external-client.key", "external-ca.crt"}
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def audited(name: str = "audited"):
    hook = {"name": "log", "webhook": {"url": "https://audit.example/"}}
    return profile(name, rules=[rule("seen", audit=[hook], block={})], labels={"app": "agent"})


@pytest.fixture(autouse=True)
def calendar(monkeypatch):
    """To be moved by `later`."""
    monkeypatch.setattr(stage_module, "SINCE", stage_module.SINCE)


def later(passed: timedelta) -> None:
    """The clock on the wall goes on, and nobody has done anything meanwhile: each minute of it would be watched."""
    stage_module.SINCE += passed


def played(story, *raws, **given):
    async def play():
        async with staged(ext_proc_address="10.96.0.9:9002", **given) as stage:
            stage.opt_in("team-a")
            stage.bound.add(SYSTEM)
            for raw in raws or (
                template(),
                template("other", labels={"app": "other"}),
                audited(),
                profile("plain", labels={"app": "other"}),
            ):
                stage.put(raw)
            await story(stage)

    virtual.run(play())


async def begun(stage: Stage):
    await stage.start()
    await stage.rest()


def egress(stage: Stage, name: str = "python") -> dict[str, str]:
    found = stage.get(SECRETS, f"{name}-egress")
    return values(found) if found else {}


def own(stage: Stage, name: str) -> dict[str, str]:
    found = stage.get(SECRETS, name, SYSTEM)
    return values(found) if found else {}


def known(stage: Stage) -> str:
    """Who the template's sidecars are to ext-proc."""
    shown = parse_peer(egress(stage)["external-client.crt"].encode(), pem=True)
    return str(verify(shown, peers=Peers.of("spiffe://cluster.local/ns/*/template/*"), purpose=Purpose.CLIENT, now=now()))


def secrets_written(stage: Stage) -> list[tuple[str, str]]:
    return [(sent.verb, sent.key.name or sent.body["metadata"]["name"]) for sent in stage.writes() if sent.resource == SECRETS]


def test_a_template_that_has_to_ask_is_given_its_id_and_the_others_nothing():
    async def story(stage: Stage):
        await begun(stage)
        written = egress(stage)
        assert known(stage) == template_id("cluster.local", "team-a", "python")
        assert written["external-ca.crt"] == own(stage, SERVER)["ca.crt"] == own(stage, AUTHORITY)["ca.crt"]
        assert ext_proc_id("cluster.local", SYSTEM) in written["cds.json"]
        assert not CLIENT_FILES & egress(stage, "other").keys()
        assert own(stage, AUTHORITY)["ca.key"] not in json.dumps(written)

    played(story)


def test_the_sidecars_configuration_names_the_files_that_are_there():
    async def story(stage: Stage):
        await begun(stage)
        written = egress(stage)
        named = {
            part.removeprefix(f"{DIRECTORY}/")
            for file in ("sds-external-client.json", "sds-external-authorities.json")
            for part in json.dumps(json.loads(written[file])).split('"')
            if part.startswith(f"{DIRECTORY}/")
        }
        assert named == CLIENT_FILES <= written.keys()

    played(story)


def test_nothing_is_written_again_while_nothing_is_due():
    """Not in a week, and not by a process that begins anew."""

    async def story(stage: Stage):
        await begun(stage)
        before = egress(stage)
        count = len(stage.writes())
        await stage.rest(20 * MINUTE.total_seconds())
        later(7 * DAY)
        await stage.again()
        await stage.rest()
        assert len(stage.writes()) == count
        assert egress(stage) == before

    played(story)


def test_a_certificate_is_signed_anew_when_two_thirds_of_its_life_have_passed():
    """All of them, whatever else is in the Secret: each by itself, once."""

    async def story(stage: Stage):
        await begun(stage)
        later(LIFETIME * 2 / 3 - 20 * MINUTE)
        await stage.again()
        before, count = egress(stage), len(stage.writes())
        await stage.rest(30 * MINUTE.total_seconds())
        after = egress(stage)
        assert {name for name in after if after[name] != before.get(name)} == {"external-client.crt", "external-client.key"}
        assert known(stage) == template_id("cluster.local", "team-a", "python")
        assert len(stage.writes()) == count + 2  # and ext-proc's own

    played(story)


def test_over_two_years_there_is_always_a_valid_one_that_ext_proc_trusts():
    async def story(stage: Stage):
        await begun(stage)
        authorities = set()
        for _ in range(40):
            later(19 * DAY)
            await stage.again()
            await stage.rest()
            assert known(stage) == template_id("cluster.local", "team-a", "python")
            assert egress(stage)["external-ca.crt"] == own(stage, SERVER)["ca.crt"]
            authorities.add(own(stage, AUTHORITY)["ca.crt"])
        assert len(authorities) == 3
        assert AUTHORITY_LIFETIME * 2 < 40 * 19 * DAY

    played(story)


def test_a_template_that_has_to_ask_no_more_loses_its_certificate():
    async def story(stage: Stage):
        await begun(stage)
        stage.put(audited() | {"spec": profile(rules=[rule("closed")])["spec"]})
        await stage.rest()
        assert not CLIENT_FILES & egress(stage).keys()
        assert "sds-external-client.json" not in egress(stage)

    played(story)


def test_while_the_authority_cannot_be_read_only_those_who_need_it_wait():
    """And are told so; when it can be, they are written, and nothing was made anew."""

    async def story(stage: Stage):
        await begun(stage)
        before = own(stage, AUTHORITY), egress(stage)
        await stage.crash()
        stage.fault = lambda sent: refusal(500, "Broken") if sent.key.namespace == SYSTEM and sent.verb == "get" else None
        stage.put(template("late"))
        await begun(stage)
        assert egress(stage, "other")
        assert not egress(stage, "late")
        conditions = stage.get(PROFILES, "audited")["status"]["conditions"]
        assert ("False", "ExtProcNotTrusted") in {(each["status"], each["reason"]) for each in conditions}
        assert egress(stage) == before[1]
        stage.fault = lambda sent: None
        await stage.rest(400)
        assert egress(stage, "late").keys() > CLIENT_FILES
        assert (own(stage, AUTHORITY), egress(stage)) == before

    played(story)


def test_without_the_right_to_its_own_namespaces_secrets_all_else_is_done():
    async def story(stage: Stage):
        stage.bound.discard(SYSTEM)
        await begun(stage)
        assert egress(stage, "other")
        assert not egress(stage)
        assert stage.events("ExtProcNotTrusted")

    played(story)


def test_with_files_of_somebody_elses_nothing_is_signed_and_nothing_read():
    async def story(stage: Stage):
        await begun(stage)
        assert egress(stage)
        assert not CLIENT_FILES & egress(stage).keys()
        assert not [sent for sent in stage.server.sent if sent.key.namespace == SYSTEM and sent.resource == SECRETS]

    played(story, ext_proc_certificates="files", ext_proc_id=ext_proc_id("cluster.local", SYSTEM))


def test_once_brings_it_all_up_to_date_and_says_when_it_could_not():
    async def story(stage: Stage):
        assert await stage.once()
        assert known(stage)
        stage.drop(SECRETS, SERVER, SYSTEM)
        stage.fault = lambda sent: refusal(403, "Forbidden") if sent.key.namespace == SYSTEM and sent.verb == "create" else None
        assert not await stage.once()

    played(story)


def test_each_replica_that_leads_finds_what_the_one_before_made():
    async def story(stage: Stage):
        await begun(stage)
        for _ in range(3):
            await stage.again()
            await asyncio.sleep(70)
        assert sorted(secrets_written(stage)) == [
            ("create", AUTHORITY),
            ("create", SERVER),
            ("create", "other-egress"),
            ("create", "python-ca"),
            ("create", "python-egress"),
        ]

    played(story)
