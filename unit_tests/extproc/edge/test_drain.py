"""While a server drains nobody is connected whom nobody answers; one that takes another's place answers everybody."""

import asyncio
import socket

import pytest

from extproc.edge.asgi import Application
from extproc.edge.h2corn_server import H2cornServer
from extproc.edge.listening import TRANSPORTS, Place
from unit_tests.extproc.desks import Desk, sources
from unit_tests.extproc.edge.streams import calling, headers


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


async def refused(port) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
def test_who_connects_while_it_drains_is_refused_and_open_streams_go_on(transport):
    port = free_port()
    address = f"127.0.0.1:{port}"

    async def live():
        listening = TRANSPORTS[transport](known(), Place(bind=address, drain=30))
        async with asyncio.TaskGroup() as group:
            group.create_task(listening.run())
            await listening.started()
            async with calling(address) as process:
                call = process()
                await call.write(headers())
                assert await call.read()
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
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            await server.started()
            async with calling(address) as process:
                call = process()
                await call.write(headers())
                assert await call.read()
                server._exchanged.set()
                await asyncio.sleep(0.3)
                assert all([await asked(address) for _ in range(20)])
                await call.done_writing()
            server.stop()

    asyncio.run(live())


def test_who_cannot_take_anothers_place_leaves_it_in_place(monkeypatch, caplog):
    address = f"127.0.0.1:{free_port()}"

    async def live():
        server = H2cornServer(Application(known()), bind=address, drain=5, shared=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            await server.started()
            config = server._config
            monkeypatch.setattr(server, "_config", lambda places: config(["fd://999999"]))
            server._exchanged.set()
            await asyncio.sleep(0.3)
            assert await asked(address)
            server.stop()

    asyncio.run(live())
    assert "the old one stays" in caplog.text
