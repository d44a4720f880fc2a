"""Both transports with a real client: the same answers, the same refusals, nothing said aloud, and certificates that change."""

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc import aio
from prometheus_client import CollectorRegistry

from dataplane.external_protocol import IDENTITY_HEADER
from extproc.admission import IdentitySource
from extproc.edge.asgi import PATH
from extproc.edge.listening import TRANSPORTS, Place, Secured
from extproc.edge.protocol import LONGEST
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers
from unit_tests.extproc.desks import POD, Desk, program, sources
from unit_tests.extproc.envoy import MODE, Arriving, Envoy, Filter, part, pb
from unit_tests.mtls.pki import CLIENT, SERVER, authority, leaf, pem, wall, write
from unit_tests.policy.profiles import block, headers, model, rule

LINES = ((":method", "POST"), (":authority", "h.test"), (":path", "/"), (":scheme", "https"), ("content-type", "application/json"))
TOOLS = rule("tools", ["tools.test"], mcpToolPolicy={"rules": [{"method": "tools/call", "action": "allow"}]})
RULES = (rule("closed", ["closed.test"], block=block(451)), rule("writes", headerManipulation=headers("x-gone", x_new="1")), TOOLS)
PATIENCE = 20.0
TEMPLATE = "spiffe://prod.example/ns/team/template/coder"
ROOT = authority()

pytestmark = pytest.mark.parametrize("transport", sorted(TRANSPORTS))


@asynccontextmanager
async def serving(transport, desk, bind, **how):
    listening = TRANSPORTS[transport](desk, Place(bind=bind, drain=2.0, **how))
    running = asyncio.ensure_future(listening.run())
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait((asyncio.ensure_future(listening.started()), running), return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running
        yield listening
    finally:
        listening.stop()
        async with asyncio.timeout(PATIENCE):
            await running


def channel(bind, credentials=None):
    if credentials:
        return aio.secure_channel(bind, credentials, options=(("grpc.ssl_target_name_override", "localhost"),))
    return aio.insecure_channel(bind)


async def asked(to, *messages, metadata=None, method=PATH):
    """All answers to all messages; raises what the server says is wrong."""
    call = to.stream_stream(method)(iter(messages), metadata=metadata, timeout=PATIENCE)
    return [pb.ProcessingResponse.FromString(data) async for data in call]


async def turned_away(to, method=PATH):
    """The status of a stream on which nothing is said: a client that still writes may find its own error instead."""
    return await to.stream_stream(method)(timeout=PATIENCE).code()


def first(host="h.test", *, body=MODE.NONE, chunks=()):
    lines = tuple((name, host if name == ":authority" else value) for name, value in LINES)
    return Envoy(Filter(body=body), Arriving(lines=lines, chunks=chunks, attributes=POD)).first().SerializeToString()


def told(coro):
    return asyncio.run(asyncio.wait_for(coro, 3 * PATIENCE))


def failure(error):
    return error.value.code(), error.value.details() or ""


def test_a_stream_is_answered(transport, tmp_path):
    """A refusal, a change, and one that waits for its body."""

    async def story():
        bind = f"unix:{tmp_path}/s"
        desk = Desk(sources(*RULES))
        async with serving(transport, desk, bind), channel(bind) as to:
            (refused,) = await asked(to, first("closed.test"))
            assert refused.immediate_response.status.code == 451
            (changed,) = await asked(to, first())
            assert changed.request_headers.response.header_mutation.set_headers[0].header.key == "x-new"
            body = part(b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}', end=True).SerializeToString()
            waiting, judged = await asked(to, first("tools.test", body=MODE.BUFFERED, chunks=(b"x",)), body)
            assert waiting.WhichOneof("response") == "request_headers"
            assert judged.immediate_response.status.code == 403
        assert [outcome.verdict.outcome.value for outcome in desk.outcomes] == ["blocked", "mutated", "blocked"]

    told(story())


def test_what_is_none_of_envoys_is_an_error_without_words(transport, tmp_path, caplog):
    """Envoy refuses then; nothing that was sent is repeated."""

    async def story():
        bind = f"unix:{tmp_path}/s"
        async with serving(transport, Desk(sources(*RULES)), bind), channel(bind) as to:
            for nonsense, code in (
                (b"\xffnever-repeated", grpc.StatusCode.UNKNOWN),
                (part(b"never-repeated", end=True).SerializeToString(), grpc.StatusCode.UNKNOWN),
                (b"never-repeated" * (LONGEST // 8), grpc.StatusCode.RESOURCE_EXHAUSTED),
            ):
                with pytest.raises(aio.AioRpcError) as error:
                    await asked(to, nonsense)
                found, words = failure(error)
                assert found is code
                assert "never-repeated" not in words
            assert await turned_away(to, "/other.Service/Process") is grpc.StatusCode.UNIMPLEMENTED
            assert await asked(to, first())

    with caplog.at_level("DEBUG"):
        told(story())
    assert "never-repeated" not in caplog.text


def test_a_bug_ends_one_stream_and_says_nothing(transport, tmp_path, caplog):
    """Its words may hold what the request held."""

    class Broken(Desk):
        def admit(self, headers, peer):
            if headers.lines[1][1] == "closed.test":
                raise ValueError("never-repeated")
            return super().admit(headers, peer)

    async def story():
        bind = f"unix:{tmp_path}/s"
        desk = Broken(sources(*RULES))
        async with serving(transport, desk, bind), channel(bind) as to:
            with pytest.raises(aio.AioRpcError) as error:
                await asked(to, first("closed.test"))
            assert failure(error)[0] is grpc.StatusCode.INTERNAL
            assert "never-repeated" not in failure(error)[1]
            assert await asked(to, first())
        assert desk.value("stream_errors_total") == 1

    with caplog.at_level("DEBUG"):
        told(story())
    assert "never-repeated" not in caplog.text


def test_what_ends_undecided_does_not_end_well(transport, tmp_path):
    """Neither what waits for its body nor what said nothing at all: Envoy takes OK for leave to go on."""

    async def story():
        bind = f"unix:{tmp_path}/s"
        async with serving(transport, Desk(sources(*RULES)), bind), channel(bind) as to:
            for said in ((first("tools.test", body=MODE.BUFFERED, chunks=(b"x",)),), ()):
                with pytest.raises((aio.AioRpcError, asyncio.CancelledError)):
                    await asked(to, *said)

    told(story())


def test_metadata_counts_only_where_it_is_trusted(transport, tmp_path):
    """On a socket of an Envoy of one's own."""
    said = ((IDENTITY_HEADER, "eyJuYW1lc3BhY2UiOiAiZGVmYXVsdCJ9"),)

    async def story():
        for trusted in (True, False):
            bind = f"unix:{tmp_path}/{trusted}"
            desk = Desk(sources(rule("r", headerManipulation=headers("x-gone"))), identity=(IdentitySource.METADATA,))
            async with serving(transport, desk, bind, metadata=trusted), channel(bind) as to:
                (answer,) = await asked(to, first(), metadata=said)
                assert answer.WhichOneof("response") == ("request_headers" if trusted else "immediate_response")

    told(story())


def test_streams_that_are_open_come_to_their_end(transport, tmp_path):
    """After `stop` no new ones begin."""

    async def story():
        bind = f"unix:{tmp_path}/s"
        async with serving(transport, Desk(sources(TOOLS)), bind) as listening, channel(bind) as to:
            call = to.stream_stream(PATH)(timeout=PATIENCE)
            await call.write(first("tools.test", body=MODE.BUFFERED, chunks=(b"x",)))
            assert await call.read()
            listening.stop()
            await asyncio.sleep(0.2)
            await call.write(part(b"{}", end=True).SerializeToString())
            assert pb.ProcessingResponse.FromString(await call.read()).WhichOneof("response") == "request_body"
            await call.done_writing()
            assert await call.code() is grpc.StatusCode.OK
            async with channel(bind) as late:
                with pytest.raises(aio.AioRpcError):
                    await asked(late, first())

    told(story())


def test_streams_that_are_abandoned_are_gone(transport, tmp_path):
    """However many, at whatever point; the next one is answered."""

    async def story():
        bind = f"unix:{tmp_path}/s"
        desk = Desk(sources(*RULES))
        async with serving(transport, desk, bind):
            for number in range(60):
                async with channel(bind) as to:
                    call = to.stream_stream(PATH)()
                    if number % 3:
                        await call.write(first("tools.test", body=MODE.BUFFERED, chunks=(b"x",)))
                    if number % 3 == 2:
                        await call.read()
                    call.cancel()
            async with asyncio.timeout(PATIENCE):
                while desk.value("streams"):  # noqa: ASYNC110 - the server's doing
                    await asyncio.sleep(0.02)
            async with channel(bind) as to:
                assert await asked(to, first())
        assert desk.outcomes[-1].verdict.outcome.value == "mutated"

    told(story())


class Certified:
    """A server's certificate that may be exchanged, and clients'."""

    def __init__(self, directory):
        directory.mkdir()
        self.directory = directory
        self.ahead = timedelta()
        self.files = write(directory, leaf(ROOT, SERVER), ROOT)
        self.keeper = Keeper(self.files, now=wall, metrics=TlsMetrics(CollectorRegistry()))
        self.place = {"secured": Secured(keeper=self.keeper, peers=Peers.of("spiffe://prod.example/ns/*/template/*"))}

    async def exchange(self, made, *authorities):
        write(self.directory, made, *authorities)
        await self.keeper.reload()

    @staticmethod
    def client(*ids, above=ROOT, trusts=ROOT):
        made = leaf(above, *ids)
        return grpc.ssl_channel_credentials(pem(trusts.certificate), made.key_pem, made.certificate_pem)


def of_template(**more):
    known = sources(rule("r", headerManipulation=headers("x-gone")))
    templates = {("team", "coder"): (("app", "agent"),)}
    everywhere = program(model(rule("r", headerManipulation=headers("x-gone")), kind="GlobalSecurityProfile"))
    seen = type(known)(program=everywhere, templates=templates)
    return Desk(seen, identity=(IdentitySource.CERTIFICATE,), trust_domain="prod.example", **more)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_who_a_client_is_stands_in_its_certificate(transport, tmp_path):
    """A template's is served as that template; another's, none, and one that nobody trusts are not served."""

    async def story():
        certified, bind, desk = Certified(tmp_path / "tls"), f"127.0.0.1:{free_port()}", of_template()
        await certified.keeper.reload()
        async with serving(transport, desk, bind, **certified.place):
            async with channel(bind, certified.client(TEMPLATE)) as to:
                (answer,) = await asked(to, first())
                assert answer.WhichOneof("response") == "request_headers"
                assert desk.outcomes[0].caller.template == "team/coder"
            stranger = authority("stranger")
            refused = (
                (certified.client(CLIENT), {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}),
                (certified.client(TEMPLATE, CLIENT), {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}),
                (certified.client(), {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}),
                (certified.client(TEMPLATE, above=stranger), {grpc.StatusCode.UNAVAILABLE}),
                (grpc.ssl_channel_credentials(pem(ROOT.certificate)), {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED}),
            )
            for credentials, codes in refused:
                async with channel(bind, credentials) as to:
                    assert await turned_away(to) in codes
        assert len(desk.outcomes) == 1

    told(story())


def test_certificates_are_exchanged_while_streams_run(transport, tmp_path):
    """A stream that is open goes on, none fails, and new connections are shown the new certificate."""

    async def story():
        certified, bind, desk = Certified(tmp_path / "tls"), f"127.0.0.1:{free_port()}", of_template()
        await certified.keeper.reload()
        newer = authority("newer")
        failed, done = [], 0
        ends = asyncio.Event()

        async def load(credentials):
            nonlocal done
            while not ends.is_set():
                async with channel(bind, credentials) as to:
                    for _ in range(5):
                        try:
                            assert await asked(to, first())
                            done += 1
                        except aio.AioRpcError as error:
                            failed.append((error.code(), error.details()))

        async with serving(transport, desk, bind, **certified.place):
            both = pem(ROOT.certificate) + pem(newer.certificate)
            made = leaf(ROOT, TEMPLATE)
            trusting = grpc.ssl_channel_credentials(both, made.key_pem, made.certificate_pem)
            async with channel(bind, trusting) as to, asyncio.TaskGroup() as group:
                call = to.stream_stream(PATH)(timeout=PATIENCE)
                await call.write(first())
                assert await call.read()
                group.create_task(load(trusting))
                for above in (ROOT, newer, ROOT, newer):
                    before = done
                    await certified.exchange(leaf(above, SERVER), ROOT, newer)
                    async with asyncio.timeout(PATIENCE):
                        while done < before + 10:  # noqa: ASYNC110 - the server's doing
                            await asyncio.sleep(0.02)
                ends.set()
                await call.write(response().SerializeToString())
                assert await call.read()
                await call.done_writing()
                assert await call.code() is grpc.StatusCode.OK
            assert failed == []
            async with channel(bind, certified.client(TEMPLATE, trusts=newer)) as to:
                assert await asked(to, first())

    told(story())


def response():
    return Envoy(Filter(), Arriving(lines=LINES), response=200).responded()
