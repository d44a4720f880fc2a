"""While a server drains nobody is connected whom nobody answers; one that takes another's place answers everybody."""

import asyncio
import socket
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from extproc.edge import h2corn_server
from extproc.edge.asgi import Application
from extproc.edge.h2corn_server import H2cornServer, certified
from extproc.edge.listening import TRANSPORTS, Place
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from unit_tests.extproc.desks import Desk, sources
from unit_tests.extproc.edge.streams import calling, headers
from unit_tests.mtls.pki import SERVER, authority, leaf, wall, write


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


def known() -> Desk:
    return Desk(sources(), allow_unknown=True)


async def asked(address) -> bool:
    async with asyncio.timeout(20), calling(address) as process:
        call = process()
        await call.write(headers())
        answer = await call.read()
        await call.done_writing()
        return bool(answer)


@asynccontextmanager
async def running(server):
    """It listens; at the end it stops, if it has not been told to."""
    async with asyncio.TaskGroup() as group:
        group.create_task(server.run())
        await server.started()
        yield
        server.stop()


@asynccontextmanager
async def stream(address):
    """One that was answered, and is open."""
    async with calling(address) as process:
        call = process()
        await call.write(headers())
        assert await call.read()
        yield call


async def refused(port) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (ConnectionRefusedError, ConnectionResetError):  # the latter where it closes just then
        return True
    writer.close()
    return False


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
def test_who_connects_while_it_drains_is_refused_and_open_streams_go_on(transport):
    port = free_port()
    address = f"127.0.0.1:{port}"

    async def live():
        listening = TRANSPORTS[transport](known(), Place(bind=address, drain=30))
        async with running(listening), stream(address) as call:
            listening.stop()
            async with asyncio.timeout(20):
                while not await refused(port):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.02)
            await call.done_writing()
            await listening.ended()

    asyncio.run(live())


def test_who_takes_anothers_place_answers_all_while_the_other_still_has_a_stream():
    address = f"127.0.0.1:{free_port()}"

    async def live():
        server = H2cornServer(Application(known()), bind=address, drain=30, shared=True)
        async with running(server), stream(address) as call:
            server._exchanged.set()
            await asyncio.sleep(0.3)
            assert all([await asked(address) for _ in range(20)])
            await call.done_writing()

    asyncio.run(live())


def test_who_cannot_take_anothers_place_leaves_it_in_place(monkeypatch, caplog):
    address = f"127.0.0.1:{free_port()}"

    async def live():
        server = H2cornServer(Application(known()), bind=address, drain=5, shared=True)
        async with running(server):
            config = server._config
            monkeypatch.setattr(server, "_config", lambda _, secured: config(["fd://999999"], secured))
            server._exchanged.set()
            await asyncio.sleep(0.3)
            assert await asked(address)
            assert "certificate" in server.not_ready()

    asyncio.run(live())
    assert "the old one stays" in caplog.text


def test_who_cannot_take_anothers_place_tries_again_by_itself_and_is_not_ready_until_then(monkeypatch):
    """The same certificate may do a moment later: a descriptor was lacking, or an address."""
    monkeypatch.setattr(h2corn_server, "FIRST_RETRY", 0.05)
    address = f"127.0.0.1:{free_port()}"

    async def live():
        server = H2cornServer(Application(known()), bind=address, drain=5, shared=True)
        async with running(server):
            assert server.not_ready() is None
            first, config = list(server._servers), server._config
            broken, found = [["fd://999999"], ["no place"]], []

            def sometimes(places, secured):
                found.append(server.not_ready())
                return config(broken.pop() if broken else places, secured)

            monkeypatch.setattr(server, "_config", sometimes)
            server._exchanged.set()
            async with asyncio.timeout(20):
                while first[0] in server._servers:  # noqa: ASYNC110 - the server's doing
                    await asyncio.sleep(0.02)
            assert [bool(each) for each in found] == [False, True, True]
            assert server.not_ready() is None
            assert await asked(address)

    asyncio.run(live())


def test_a_server_is_given_what_the_keeper_judged_and_not_what_lies_on_the_disk_by_now(tmp_path):
    """Its key may be half written there; and nothing is left behind."""
    root = authority()
    files = write(tmp_path, leaf(root, SERVER), root)
    material = Keeper(files, now=wall, metrics=TlsMetrics(CollectorRegistry())).current
    files.key.write_bytes(b"half a k")
    files.authorities.unlink()
    with ExitStack() as held:
        given = certified(material, held)
        read = [Path(given[name]).read_bytes() for name in ("certfile", "keyfile", "ca_certs")]
    assert read == [material.certificate_pem, material.key_pem, material.authorities_pem]
    assert given["cert_reqs"] == "required"
    assert not Path(given["keyfile"]).exists()
