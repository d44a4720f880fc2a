"""A grpcio server over loopback: every kind of call is admitted by its caller's certificate, and certificates change under it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc import aio
from prometheus_client import CollectorRegistry

from mtls.files import ConfigurationError
from mtls.grpc_edge import SpiffeInterceptor, caller, server_credentials
from mtls.identity import Refusal
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers
from unit_tests.mtls.pki import BOTH, CLIENT, HOUR, SERVER, Made, authority, leaf, pem, wall, write

ROOT = authority()
PEERS = Peers.of("spiffe://prod.example/ns/*/sa/agent")
OTHER = "spiffe://prod.example/ns/team-a/sa/other"
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


class Bench:
    def __init__(self, directory) -> None:
        self.registry = CollectorRegistry()
        self.directory = directory
        self.ahead = timedelta()
        files = write(directory, leaf(ROOT, SERVER), ROOT)
        self.keeper = Keeper(files, now=lambda: wall() + self.ahead, metrics=TlsMetrics(self.registry))
        self.handled: list[str] = []

    def refused(self, reason: Refusal) -> float | None:
        return self.registry.get_sample_value("groyne_tls_refused_total", {"edge": "the other side", "reason": reason.value})

    async def exchange(self, made: Made, *authorities: Made) -> None:
        write(self.directory, made, *authorities)
        await self.keeper.reload()

    def handlers(self) -> grpc.GenericRpcHandler:
        async def returning(request: Any, context: Any) -> bytes:
            self.handled.append(str(caller()))
            return b"ok"

        async def yielding(request: Any, context: Any) -> AsyncIterator[bytes]:
            self.handled.append(str(caller()))
            yield b"ok"

        behaviours = {kind: yielding if kind.endswith("stream") else returning for kind in KINDS}
        made = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(each) for kind, each in behaviours.items()}
        return grpc.method_handlers_generic_handler("t", made)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = aio.server(interceptors=[SpiffeInterceptor(self.keeper, PEERS)])
        server.add_generic_rpc_handlers((self.handlers(),))
        port = server.add_secure_port("127.0.0.1:0", server_credentials(self.keeper))
        await server.start()
        try:
            yield port
        finally:
            await server.stop(None)


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def channel(port: int, made: Made | None, *authorities: Made) -> aio.Channel:
    roots = b"".join(pem(each.certificate) for each in authorities or (ROOT,))
    credentials = grpc.ssl_channel_credentials(roots, made and made.key_pem, made and made.certificate_pem)
    # Channels to one address share a connection, unless they differ in something.
    own = [("grpc.use_local_subchannel_pool", 1)]
    return aio.secure_channel(f"127.0.0.1:{port}", credentials, options=[("grpc.ssl_target_name_override", "localhost"), *own])


async def call(opened: aio.Channel, kind: str = "unary_unary") -> bytes:
    async def requests() -> AsyncIterator[bytes]:
        yield b"hello"

    made = getattr(opened, kind)(f"/t/{kind}")(requests() if kind.startswith("stream") else b"hello", timeout=5)
    if kind.endswith("unary"):
        found: bytes = await made
        return found
    return b"".join([each async for each in made])


async def outcome(port: int, made: Made | None, *authorities: Made, kind: str = "unary_unary") -> str:
    async with channel(port, made, *authorities) as opened:
        try:
            return (await call(opened, kind)).decode()
        except aio.AioRpcError as error:
            name: str = error.code().name
            return name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_call_learns_its_caller_and_is_refused_before_its_handler(bench, kind):
    async def scenario() -> tuple[str, str]:
        async with bench.serving() as port:
            return await outcome(port, leaf(ROOT, CLIENT), kind=kind), await outcome(port, leaf(ROOT, OTHER), kind=kind)

    assert asyncio.run(scenario()) == ("ok", "PERMISSION_DENIED")
    assert bench.handled == [CLIENT]
    assert bench.refused(Refusal.WRONG_ID) == 1


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        pytest.param(None, "UNAVAILABLE", id="no-certificate"),
        pytest.param(leaf(authority("stranger"), CLIENT), "UNAVAILABLE", id="untrusted"),
        pytest.param(leaf(ROOT, CLIENT, begins=-2 * HOUR, ends=-HOUR), "UNAVAILABLE", id="expired"),
        pytest.param(leaf(ROOT, CLIENT, begins=HOUR, ends=2 * HOUR), "UNAVAILABLE", id="not-yet-valid"),
        pytest.param(leaf(ROOT, CLIENT, usages=BOTH[:1]), "UNAVAILABLE", id="usage"),
        pytest.param(leaf(ROOT, CLIENT, usages=()), "PERMISSION_DENIED", id="no-usage"),
        pytest.param(leaf(ROOT, CLIENT, OTHER), "PERMISSION_DENIED", id="two-ids"),
        pytest.param(leaf(ROOT), "PERMISSION_DENIED", id="no-id"),
        pytest.param(leaf(authority("issuing", above=ROOT), CLIENT), "ok", id="intermediate"),
    ],
)
def test_who_gets_in(bench, made, expected):
    async def scenario() -> str:
        async with bench.serving() as port:
            return await outcome(port, made)

    assert asyncio.run(scenario()) == expected
    assert len(bench.handled) == (expected == "ok")


def test_a_certificate_that_ends_while_its_connection_lasts_ends_its_calls(bench):
    async def scenario() -> None:
        async with bench.serving() as port, channel(port, leaf(ROOT, CLIENT)) as opened:
            assert await call(opened) == b"ok"
            bench.ahead = 2 * HOUR
            with pytest.raises(aio.AioRpcError) as caught:
                await call(opened)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            assert CLIENT not in caught.value.details()

    asyncio.run(scenario())
    assert bench.refused(Refusal.EXPIRED) == 1


def test_new_connections_are_given_new_material_and_open_ones_go_on(bench):
    new = authority("new")

    async def scenario() -> list[str]:
        async with bench.serving() as port, channel(port, leaf(ROOT, CLIENT)) as opened:
            await call(opened)
            await bench.exchange(leaf(new, SERVER), new)
            made = leaf(new, CLIENT)
            return [(await call(opened)).decode(), await outcome(port, made, new), await outcome(port, leaf(ROOT, CLIENT), new)]

    assert asyncio.run(scenario()) == ["ok", "ok", "UNAVAILABLE"]


def test_no_call_is_lost_while_certificates_are_exchanged_under_load(bench):
    async def asking(port: int, made: list[str]) -> None:
        certificate = leaf(ROOT, CLIENT)
        while True:
            made.append(await outcome(port, certificate))

    async def scenario() -> list[str]:
        made: list[str] = []
        async with bench.serving() as port, asyncio.TaskGroup() as group:
            tasks = [group.create_task(asking(port, made)) for _ in range(3)]
            for _ in range(20):
                before = len(made)
                await bench.exchange(leaf(ROOT, SERVER), ROOT)
                while len(made) < before + 3:  # noqa: ASYNC110 - counts what others do
                    await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
        return made

    made = asyncio.run(scenario())
    assert len(made) >= 60
    assert set(made) == {"ok"}


def test_a_handler_that_could_not_be_guarded_is_not_served(bench):
    class Synchronous(Bench):
        def handlers(self) -> grpc.GenericRpcHandler:
            def answer(request: bytes, context: Any) -> bytes:
                self.handled.append("")
                return b"ok"

            return grpc.method_handlers_generic_handler("t", {"unary_unary": grpc.unary_unary_rpc_method_handler(answer)})

    other = Synchronous(bench.directory)

    async def scenario() -> str:
        async with other.serving() as port:
            return await outcome(port, leaf(ROOT, CLIENT))

    assert asyncio.run(scenario()) == "UNKNOWN"
    assert other.handled == []


def test_an_unknown_method_stays_unknown(bench):
    async def scenario() -> grpc.StatusCode:
        async with bench.serving() as port, channel(port, leaf(ROOT, CLIENT)) as opened:
            with pytest.raises(aio.AioRpcError) as caught:
                await opened.unary_unary("/t/none")(b"", timeout=5)
            return caught.value.code()

    assert asyncio.run(scenario()) is grpc.StatusCode.UNIMPLEMENTED


def test_without_a_bundle_there_are_no_credentials(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    alone = type(files)(edge="x", certificate=files.certificate, key=files.key, authorities=None)
    with pytest.raises(ConfigurationError):
        server_credentials(Keeper(alone, now=wall, metrics=TlsMetrics(CollectorRegistry())))
