"""Under load, certificates and authorities change and servers drain, and no request fails; a wrong id is refused, and nobody gets past it."""

import asyncio
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from controller.compile.workload_authorities import Authorities, authorities
from controller.compile.workload_certificates import AUTHORITY_LIFETIME, LIFETIME
from e2e.mutual_tls.rig import CLIENT_ID, DOMAIN, SERVER_ID, Rig, running_rig
from groyne import clock

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]
TRANSPORTS = pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
REFUSED = 503


def played(story, directory: Path, **more):
    async def play():
        async with running_rig(directory, **more) as rig:
            await story(rig)

    asyncio.run(play())


async def exchanged(rig: Rig, count: float) -> None:
    await rig.until(lambda: rig.metric("groyne_tls_reloads_total") >= count, "ext-proc has taken what is new")
    await asyncio.sleep(1)


def stages() -> list[Authorities]:
    """An authority's life, as the controller writes it: alone, with its successor, after it, and the successor alone. All valid today."""
    now, day = clock.now(), timedelta(days=1)
    found = [authorities({}, DOMAIN, now=now - AUTHORITY_LIFETIME + 10 * day)]
    for moment in (now - 40 * day, now - 14 * day, now + 11 * day):
        files = {name: text.encode() for name, text in found[-1].files.items()}
        found.append(authorities(files, DOMAIN, now=moment))
    assert [len(stage.trusted) for stage in found] == [1, 2, 2, 1]
    return found


@TRANSPORTS
def test_no_request_fails_while_both_sides_get_new_certificates(tmp_path, transport):
    """Three times, without a pause: connections are made anew, refused streams are asked again."""

    async def story(rig: Rig):
        async with rig.load() as found:
            for count in range(1, 4):
                rig.issue()
                await exchanged(rig, count)
        assert set(found) == {200}, found
        assert found[200] > 300

    played(story, tmp_path, transport=transport)


def test_no_request_fails_while_an_authority_gives_way_to_its_successor(tmp_path):
    """One side is always first to hear of it, now the one and now the other."""

    first, *rest = stages()

    async def story(rig: Rig):
        async with rig.load() as found:
            for count, stage in enumerate(rest, 1):
                rig.trusted = stage
                for show in (rig.show_server, rig.show_client) if count % 2 else (rig.show_client, rig.show_server):
                    show()
                    await asyncio.sleep(1)
                await exchanged(rig, count)
        assert set(found) == {200}, found

    played(story, tmp_path, trusted=first)


def test_no_request_fails_while_one_of_two_servers_drains(tmp_path):
    """As when a Deployment rolls: another has the same port, and the one that is told to end does."""

    async def story(rig: Rig):
        async with rig.load() as found:
            for _ in range(2):
                old = rig.process
                assert old is not None
                rig.begin()
                await rig.ready()
                old.terminate()
                await rig.until(lambda old=old: old.poll() is not None, "it has ended")
            await asyncio.sleep(1)
        assert set(found) == {200}, found

    played(story, tmp_path)


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_wrong_id_is_refused_by_the_other_side_until_it_is_right_again(tmp_path, side):
    """A template's certificate at the server's place, or the server's at a template's, signed by the very authority."""

    async def story(rig: Rig):
        assert await rig.ask() == 200
        if side == "server":
            rig.end()
            rig.show_server(f"{SERVER_ID}-not")
            rig.begin()
        else:
            rig.show_client(SERVER_ID)
        await until_status(rig, REFUSED)
        async with rig.load() as found:
            await asyncio.sleep(2)
        assert set(found) == {REFUSED}, found
        if side == "server":
            rig.end()
            rig.show_server()
            rig.begin()
        else:
            rig.show_client(CLIENT_ID)
        await until_status(rig, 200)

    played(story, tmp_path)


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_certificate_that_ends_under_load_is_refused_from_then_on_and_not_before(tmp_path, side):
    """It was signed so long ago that it ends in a few seconds; then comes one that lasts."""

    async def story(rig: Rig):
        show = rig.show_server if side == "server" else rig.show_client
        ends = clock.now() + timedelta(seconds=8)
        show(now=ends - LIFETIME)
        async with rig.load() as found:
            await asyncio.sleep((ends - clock.now()).total_seconds() - 1)
            valid = dict(found)
            assert set(valid) == {200}, valid
            await until_status(rig, REFUSED)
            await asyncio.sleep(2)
            found.clear()
            await asyncio.sleep(2)
            assert set(found) == {REFUSED}, found
            show()
            await until_status(rig, 200)

    played(story, tmp_path)


@TRANSPORTS
@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_it_is_reached_over_ipv6_alone(tmp_path, transport):
    async def story(rig: Rig):
        assert [await rig.ask() for _ in range(5)] == [200] * 5

    played(story, tmp_path, transport=transport, address="::1")


async def until_status(rig: Rig, wanted: int) -> None:
    """Open connections live as long as what they were made with; each of them carries so many requests at most."""
    async with asyncio.timeout(60):
        while await rig.ask() != wanted:  # noqa: ASYNC110 — Envoy has no way to call us
            await asyncio.sleep(0.05)
