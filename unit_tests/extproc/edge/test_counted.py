"""Streams and decisions are counted the same by either transport."""

import asyncio

import grpc
import pytest

from extproc.edge.listening import TRANSPORTS
from extproc.edge.protocol import LONGEST
from unit_tests.extproc.desks import Desk, sources
from unit_tests.extproc.edge.streams import calling, headers, serving, until
from unit_tests.policy.profiles import rule

transports = pytest.mark.parametrize("transport", sorted(TRANSPORTS))


def known() -> Desk:
    return Desk(sources(), allow_unknown=True)


def counts(desk: Desk) -> dict[str, float]:
    return {name: desk.value(name) for name in ("streams", "stream_errors_total", "decision_seconds_count")}


@transports
def test_a_stream_is_open_until_it_ends_and_its_decision_is_timed_once(transport, tmp_path):
    desk = known()

    async def talk():
        async with serving(desk, transport, tmp_path) as address, calling(address) as process:
            call = process()
            await call.write(headers())
            assert await call.read()
            assert counts(desk) == {"streams": 1, "stream_errors_total": 0, "decision_seconds_count": 1}
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            await until(lambda: desk.value("streams") == 0)

    asyncio.run(talk())
    assert counts(desk) == {"streams": 0, "stream_errors_total": 0, "decision_seconds_count": 1}


@transports
def test_a_client_that_leaves_is_no_error(transport, tmp_path):
    desk = known()

    async def talk():
        async with serving(desk, transport, tmp_path) as address, calling(address) as process:
            call = process()
            await call.write(headers())
            assert await call.read()
            call.cancel()
            await until(lambda: desk.value("streams") == 0)

    asyncio.run(talk())
    assert desk.value("stream_errors_total") == 0


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        ("grpcio", b"\xff\xff\xff"),
        ("h2corn", b"\xff\xff\xff"),
        ("grpcio", b""),
        ("h2corn", b""),
        # grpcio refuses it by itself, and tells nobody.
        ("h2corn", b"\0" * (LONGEST + 1)),
    ],
    ids=lambda given: given if isinstance(given, str) else f"{len(given)}-bytes",
)
def test_what_is_no_message_of_envoys_is_an_error(transport, message, tmp_path):
    desk = known()

    async def talk():
        async with serving(desk, transport, tmp_path) as address, calling(address) as process:
            call = process()
            try:
                await call.write(message)
                await call.read()
            except grpc.aio.AioRpcError:
                pass
            assert await call.code() in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.RESOURCE_EXHAUSTED}
            await until(lambda: desk.value("streams") == 0)

    asyncio.run(talk())
    assert counts(desk) == {"streams": 0, "stream_errors_total": 1, "decision_seconds_count": 0}


@transports
def test_a_refusal_is_no_error(transport, tmp_path):
    desk = Desk(sources(rule("never", block={})), allow_unknown=True)

    async def talk():
        async with serving(desk, transport, tmp_path) as address, calling(address) as process:
            call = process()
            await call.write(headers())
            assert await call.read()
            await call.done_writing()
            await until(lambda: desk.value("streams") == 0)

    asyncio.run(talk())
    assert desk.value("stream_errors_total") == 0
