"""ext-proc as a run keeps it: a real process, told of edits, gone when it is killed and back again."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from groyne.external import LOG, SOCKET, ExternalError, ExtProc, beside, needed
from groyne.rundir import RunDirectory
from unit_tests.groyne.written import read, write
from unit_tests.policy.profiles import block, manifest, rule

CREDENTIAL = {
    "credentialRef": {"credentialProvider": {"name": "vault"}},
    "failStrategy": "Allow",
    "apiKey": {"valueTemplate": "Bearer {{ .Token }}"},
}
ISSUED = rule("issued", match=[{"domains": ["api.test"]}], tokenTransformation=CREDENTIAL)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "policy").mkdir()
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    return tmp_path / "policy", RunDirectory(private=private, public=private)


@asynccontextmanager
async def kept(directory, **more):
    """It, and what it said, kept as a run keeps it."""
    said = []
    external = ExtProc(directory=directory, said=said.append, **more)
    keeping = asyncio.ensure_future(external.keep())
    try:
        yield external, said
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await external.stop()


def test_it_is_started_only_where_a_rule_needs_it(place):
    """And from then on told of every edit, also of one that needs it no more."""
    policy, directory = place

    async def scenario():
        async with kept(directory) as (external, said):
            native = read(policy, manifest(rule("closed", block=block())))
            assert not needed(native.selection)
            await external.tell(native)
            assert not external.started
            await external.tell(read(policy, manifest(ISSUED)))
            assert external.started
            assert (directory.private / SOCKET).is_socket()
            await external.tell(read(policy, manifest(rule("closed", block=block()))))
            assert said == []

    asyncio.run(scenario())


def test_it_decides_by_an_edit_when_telling_it_has_ended(place):
    """Its log has read the manifests as often as it was told, not sooner and not later."""
    policy, directory = place

    async def scenario():
        async with kept(directory) as (external, _):
            for number in range(3):
                await external.tell(read(policy, manifest(ISSUED), *(manifest(ISSUED, name=f"p{n}") for n in range(number))))
                lines = (directory.private / LOG).read_text().splitlines()
                last = [line for line in lines if "read the manifests" in line][-1]
                assert f'"profiles": {number + 1}' in last

    asyncio.run(scenario())


def test_killed_it_comes_back_with_the_last_edit(place):
    """Within two seconds where nobody else wants the processor, and the user is told that what needs it was refused meanwhile."""
    policy, directory = place

    async def scenario():
        async with kept(directory) as (external, said):
            await external.tell(read(policy, manifest(ISSUED)))
            first = external.process_id
            os.kill(first, signal.SIGKILL)
            before = asyncio.get_running_loop().time()
            await external.tell(read(policy, manifest(ISSUED), manifest(ISSUED, name="other")))
            assert asyncio.get_running_loop().time() - before < 2.0 + 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1)
            assert external.process_id != first
            assert external.restarts == 1
            assert said == ["groyne: ext-proc ended (signal 9); what needs it is refused until it is back"]

    asyncio.run(scenario())


def test_what_keeps_it_from_starting_is_said(place):
    """Not after a deadline, but as soon as it has ended."""
    policy, directory = place
    config = write(policy.parent, {"provider-url": 7, "no-such-setting": True}, file="settings.yaml")

    async def scenario():
        external = ExtProc(directory=directory, config=config)
        with pytest.raises(ExternalError, match="no-such-setting"):
            await external.tell(read(policy, manifest(ISSUED)))

    asyncio.run(scenario())


def test_an_edit_that_it_does_not_take_ends_it(place, monkeypatch):
    """Decisions by rules that are gone are worse than none."""
    monkeypatch.setattr("groyne.external.TAKEN_WITHIN", 0.5)
    policy, directory = place

    async def scenario():
        async with kept(directory) as (external, said):
            await external.tell(read(policy, manifest(ISSUED)))
            stopped = external._process
            stopped.send_signal(signal.SIGSTOP)
            await external.obey(read(policy, manifest(ISSUED), manifest(ISSUED, name="other")))
            assert await stopped.wait() == -signal.SIGKILL
            assert "what needs it is refused until it has the edit" in said[0]

    asyncio.run(scenario())


def environment_of(process):
    content = Path(f"/proc/{process}/environ").read_bytes().decode()
    return {entry.partition("=")[0] for entry in content.split("\0") if entry}


def test_nobody_else_can_speak_to_it(place):
    """Its sockets belong to this user alone, and its environment has nothing of this one's."""
    policy, directory = place

    async def scenario():
        async with kept(directory) as (external, _):
            await external.tell(read(policy, manifest(ISSUED)))
            assert (directory.private / SOCKET).stat().st_mode & 0o077 == 0
            told = environment_of(external.process_id)
            assert told <= {"PATH", "PYTHONUNBUFFERED"}

    asyncio.run(scenario())


def test_its_envoy_says_for_whom_it_asks(place):
    """The selection's identity, not the process's."""
    policy, directory = place
    found = beside(directory.private, read(policy, manifest(ISSUED), namespace="team", labels={"a": "b"}), token="t")
    assert (found.identity.namespace, found.identity.labels, found.token) == ("team", (("a", "b"),), "t")
    assert "token" not in repr(found) or "'t'" not in repr(found)
