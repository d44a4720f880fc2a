"""Real handshakes over loopback: who gets in, who does not, and that certificates change under load."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from cryptography.x509.oid import ExtendedKeyUsageOID
from prometheus_client import CollectorRegistry

from mtls.contexts import client_context, server_context
from mtls.files import ConfigurationError, TlsFiles
from mtls.identity import Refusal
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers
from unit_tests.mtls.pki import BOTH, CLIENT, HOUR, SERVER, Made, authority, leaf, swap, wall, write

ROOT = authority()
OTHER = "spiffe://prod.example/ns/team-b/sa/agent"
TO_SERVER, TO_CLIENT = Peers.of(SERVER), Peers.of(CLIENT)


@dataclass(slots=True, kw_only=True)
class Side:
    keeper: Keeper
    directory: Path
    registry: CollectorRegistry

    @classmethod
    def of(cls, directory: Path, made: Made, *authorities: Made) -> "Side":
        registry = CollectorRegistry()
        files = write(directory, made, *(authorities or (ROOT,)))
        return cls(keeper=Keeper(files, now=wall, metrics=TlsMetrics(registry)), directory=directory, registry=registry)

    def exchange(self, made: Made, *authorities: Made) -> None:
        write(self.directory, made, *(authorities or (ROOT,)))
        asyncio.run(self.keeper.reload())

    def refused(self) -> list[str]:
        samples = [each for family in self.registry.collect() for each in family.samples if each.name == "groyne_tls_refused_total"]
        return [each.labels["reason"] for each in samples for _ in range(int(each.value))]


@dataclass(slots=True)
class Heard:
    """What a server's application saw."""

    bytes: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(context: ssl.SSLContext, heard: Heard) -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while line := await reader.readline():
                heard.bytes.append(line)
                writer.write(line)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def says(port: int, context: ssl.SSLContext) -> bytes:
    """Empty where the server went; raises where the handshake failed on the client's side."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        writer.write(b"hello\n")
        return await reader.readline()
    except ConnectionError:
        return b""
    except ssl.SSLError:  # the server's alert, which comes after the handshake
        return b""
    finally:
        writer.close()


def talk(server: Side, client: Side | ssl.SSLContext, *, peers: Peers | None = TO_CLIENT) -> tuple[bytes, Heard]:
    heard = Heard()
    asked = client if isinstance(client, ssl.SSLContext) else client_context(client.keeper, peers=TO_SERVER)

    async def scenario() -> bytes:
        async with asyncio.timeout(10), serving(server_context(server.keeper, peers=peers), heard) as port:
            return await says(port, asked)

    return asyncio.run(scenario()), heard


@pytest.fixture
def server(tmp_path) -> Side:
    return Side.of(tmp_path / "server", leaf(ROOT, SERVER))


@pytest.fixture
def client(tmp_path) -> Side:
    return Side.of(tmp_path / "client", leaf(ROOT, CLIENT))


def test_two_who_expect_each_other_talk(server, client):
    answer, heard = talk(server, client)
    assert answer == b"hello\n"
    assert heard.bytes == [b"hello\n"]
    assert server.refused() == client.refused() == []


def clients(**made: Made) -> Any:
    return pytest.mark.parametrize(("reason", "made"), [pytest.param(Refusal[name.upper()], each, id=name) for name, each in made.items()])


@clients(
    wrong_id=leaf(ROOT, OTHER),
    several_ids=leaf(ROOT, CLIENT, OTHER),
    no_id=leaf(ROOT),
    untrusted=leaf(authority("stranger"), CLIENT),
    expired=leaf(ROOT, CLIENT, begins=-2 * HOUR, ends=-HOUR),
    not_yet_valid=leaf(ROOT, CLIENT, begins=HOUR, ends=2 * HOUR),
    usage=leaf(ROOT, CLIENT, usages=BOTH[:1]),
    authority=leaf(ROOT, CLIENT, ca=True, signs=True),
)
def test_a_client_is_refused_before_a_byte_of_it_is_read(tmp_path, server, reason, made):
    context = bare(tmp_path, made)
    answer, heard = talk(server, context)
    assert answer == b""
    assert heard.bytes == []
    assert server.refused() == [reason.value]


@clients(
    wrong_id=leaf(ROOT, OTHER),
    several_ids=leaf(ROOT, SERVER, OTHER),
    no_id=leaf(ROOT),
    untrusted=leaf(authority("stranger"), SERVER),
    expired=leaf(ROOT, SERVER, begins=-2 * HOUR, ends=-HOUR),
    not_yet_valid=leaf(ROOT, SERVER, begins=HOUR, ends=2 * HOUR),
    usage=leaf(ROOT, SERVER, usages=BOTH[1:]),
)
def test_a_server_is_refused_before_a_byte_is_sent_to_it(tmp_path, client, reason, made):
    context = bare(tmp_path, made, ssl.PROTOCOL_TLS_SERVER)
    heard = Heard()

    async def scenario() -> None:
        async with asyncio.timeout(10), serving(context, heard) as port:
            await says(port, client_context(client.keeper, peers=TO_SERVER))

    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(scenario())
    assert heard.bytes == []
    assert client.refused() == [reason.value]


def bare(directory: Path, made: Made, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> ssl.SSLContext:
    """A peer that has no care of its own and sends whatever it is given."""
    files = write(directory / "bare", made, ROOT)
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(files.certificate, files.key)
    return context


def test_a_client_without_a_certificate_is_refused(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    answer, heard = talk(server, context)
    assert (answer, heard.bytes) == (b"", [])
    assert server.refused() == [Refusal.NO_CERTIFICATE.value]


def test_older_protocols_than_tls_1_3_are_refused(tmp_path, server):
    context = bare(tmp_path, leaf(ROOT, CLIENT))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        talk(server, context)
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    assert talk(server, context)[0] == b"hello\n"


def test_a_chain_may_lead_over_intermediates_that_the_peer_shows(tmp_path, server):
    issuing = authority("issuing", above=authority("middle", above=ROOT))
    made = leaf(issuing, CLIENT)
    assert len(made.above) == 2
    assert talk(server, Side.of(tmp_path / "c", made))[0] == b"hello\n"


def test_a_chain_without_its_intermediate_is_refused(tmp_path, server):
    made = leaf(authority("issuing", above=ROOT), CLIENT)
    alone = Made(certificate=made.certificate, key=made.key)
    assert talk(server, bare(tmp_path, alone))[0] == b""
    assert server.refused() == [Refusal.UNTRUSTED.value]


@pytest.mark.parametrize(
    "above",
    [
        pytest.param(leaf(ROOT, CLIENT), id="a-leaf"),
        pytest.param(authority("low", above=authority("none-below", above=ROOT, path_length=0)), id="too-deep"),
    ],
)
def test_who_may_sign_nobody_vouches_for_nobody(tmp_path, server, above):
    forged = leaf(above, CLIENT)
    whole = Made(certificate=forged.certificate, key=forged.key, above=(above.certificate, *above.above))
    assert talk(server, bare(tmp_path, whole))[0] == b""
    assert server.refused()[0] in {Refusal.UNTRUSTED.value, Refusal.USAGE.value}


def test_a_bundle_of_several_authorities_trusts_each(tmp_path):
    old, new = authority("old"), authority("new")
    server = Side.of(tmp_path / "s", leaf(new, SERVER), old, new)
    for place, made in enumerate((leaf(old, CLIENT), leaf(new, CLIENT))):
        assert talk(server, Side.of(tmp_path / str(place), made, old, new))[0] == b"hello\n"


def test_no_session_can_be_resumed(server, client):
    async def scenario() -> ssl.SSLSession | None:
        async with asyncio.timeout(10), serving(server_context(server.keeper, peers=TO_CLIENT), Heard()) as port:
            context = client_context(client.keeper, peers=TO_SERVER)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
            writer.write(b"hello\n")
            await reader.readline()
            session: ssl.SSLSession = writer.get_extra_info("ssl_object").session
            writer.close()
            return session

    session = asyncio.run(scenario())
    assert session is None or not session.has_ticket


def test_a_server_that_expects_nobody_in_particular_takes_whom_the_bundle_vouches_for(server, tmp_path):
    assert talk(server, Side.of(tmp_path / "c", leaf(ROOT)), peers=None)[0] == b"hello\n"
    assert talk(server, bare(tmp_path, leaf(authority("stranger"), CLIENT)), peers=None)[0] == b""


def without_bundle(directory: Path, made: Made) -> Keeper:
    files = write(directory, made)
    files = TlsFiles(edge=files.edge, certificate=files.certificate, key=files.key, authorities=None)
    return Keeper(files, now=wall, metrics=TlsMetrics(CollectorRegistry()))


def test_a_server_without_a_bundle_asks_for_no_certificate_and_cannot_be_told_whom_to_expect(tmp_path):
    keeper = without_bundle(tmp_path / "s", leaf(ROOT))
    caller = ssl.create_default_context(cadata=ROOT.certificate_pem.decode())

    async def scenario() -> bytes:
        async with asyncio.timeout(10), serving(server_context(keeper, peers=None), Heard()) as port:
            return await says(port, caller)

    assert asyncio.run(scenario()) == b"hello\n"
    with pytest.raises(ConfigurationError, match="trust bundle"):
        server_context(keeper, peers=TO_CLIENT)
    with pytest.raises(ConfigurationError, match="trust bundle"):
        client_context(keeper, peers=None)


def test_a_client_that_is_given_no_identity_holds_the_server_to_its_host_name(tmp_path, client):
    for dns, accepted in ((("localhost",), True), (("elsewhere.example",), False)):
        server = Side.of(tmp_path / dns[0], leaf(ROOT, dns=dns))
        context = client_context(client.keeper, peers=None)
        if accepted:
            assert talk(server, context, peers=TO_CLIENT)[0] == b"hello\n"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
                talk(server, context, peers=TO_CLIENT)


def test_the_next_handshake_uses_the_new_pair_and_the_new_bundle_and_open_connections_go_on(server, client):
    new_root = authority("new")

    async def scenario() -> list[bytes]:
        context, ours = server_context(server.keeper, peers=TO_CLIENT), client_context(client.keeper, peers=TO_SERVER)
        async with asyncio.timeout(10), serving(context, Heard()) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours, server_hostname="localhost")
            for side, name in ((server, SERVER), (client, CLIENT)):
                write(side.directory, leaf(new_root, name), new_root)
                await side.keeper.reload()
            said = [await says(port, ours)]
            writer.write(b"still here\n")
            said.append(await reader.readline())
            writer.close()
            return said

    assert asyncio.run(scenario()) == [b"hello\n", b"still here\n"]


def test_an_authority_that_left_the_bundle_vouches_for_nobody_from_the_next_handshake_on(tmp_path, server):
    stranger = bare(tmp_path, leaf(ROOT, CLIENT))
    assert talk(server, stranger)[0] == b"hello\n"
    server.exchange(leaf(ROOT, SERVER), authority("new"))
    assert talk(server, stranger)[0] == b""


def test_alpn_that_was_set_before_an_exchange_holds_after_it(server, client):
    context = server_context(server.keeper, peers=TO_CLIENT)
    context.set_alpn_protocols(["h2"])
    ours = client_context(client.keeper, peers=TO_SERVER)
    ours.set_alpn_protocols(["h2", "http/1.1"])
    server.exchange(leaf(ROOT, SERVER))
    client.exchange(leaf(ROOT, CLIENT))

    async def scenario() -> str | None:
        async with asyncio.timeout(10), serving(context, Heard()) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ours, server_hostname="localhost")
            found: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            writer.close()
            return found

    assert asyncio.run(scenario()) == "h2"


def test_no_handshake_is_lost_while_certificates_and_authorities_are_exchanged(tmp_path):
    """Both sides rotate by swaps like the kubelet's, read by their watches, while connections are made without pause."""
    roots = [authority(f"root {each}") for each in range(8)]
    registry = CollectorRegistry()
    metrics = TlsMetrics(registry)

    def side(name: str, place: int, *, edge: str) -> TlsFiles:
        # A bundle has the authority that comes before it is used, as SPIRE and trust-manager hand them out.
        return swap(tmp_path / edge, leaf(roots[place], name), *roots[place : place + 2], *roots[max(0, place - 1) : place], edge=edge)

    served, asking = side(SERVER, 0, edge="server"), side(CLIENT, 0, edge="client")
    keepers = [Keeper(files, now=wall, metrics=metrics) for files in (served, asking)]

    async def ask(port: int, ours: ssl.SSLContext, made: list[bytes]) -> None:
        while True:
            made.append(await says(port, ours))

    async def rotate() -> None:
        for place in range(1, len(roots) - 1):
            for keeper, name in zip(keepers, (SERVER, CLIENT), strict=True):
                exchanged = asyncio.Event()
                keeper.on_exchange(lambda _, done=exchanged: done.set())
                side(name, place, edge=keeper.files.edge)
                await exchanged.wait()

    async def scenario() -> list[bytes]:
        context, ours = server_context(keepers[0], peers=TO_CLIENT), client_context(keepers[1], peers=TO_SERVER)
        made: list[bytes] = []
        async with asyncio.timeout(60), serving(context, Heard()) as port, asyncio.TaskGroup() as group:
            going_on = [group.create_task(keeper.run()) for keeper in keepers]
            going_on += [group.create_task(ask(port, ours, made)) for _ in range(4)]
            await rotate()
            for task in going_on:
                task.cancel()
        return made

    made = asyncio.run(scenario())
    assert len(made) > 100
    assert set(made) == {b"hello\n"}
    for edge in ("server", "client"):
        assert registry.get_sample_value("groyne_tls_reloads_total", {"edge": edge, "result": "exchanged"}) == len(roots) - 2
        assert registry.get_sample_value("groyne_tls_reload_failing", {"edge": edge}) == 0


def test_bad_material_during_load_costs_no_handshake(server, client):
    """A wrong id, an ended certificate, half a pair: what was good stays in use."""
    bad: list[Callable[[], object]] = [
        lambda: write(server.directory, leaf(ROOT, OTHER), ROOT),
        lambda: write(server.directory, leaf(ROOT, SERVER, begins=-2 * HOUR, ends=-HOUR), ROOT),
        lambda: server.keeper.files.key.write_bytes(leaf(ROOT, SERVER).key_pem),
        server.keeper.files.authorities.unlink,
    ]

    async def scenario() -> int:
        ours = client_context(client.keeper, peers=TO_SERVER)
        made = 0
        async with asyncio.timeout(20), serving(server_context(server.keeper, peers=TO_CLIENT), Heard()) as port:
            for spoil in bad:
                spoil()
                await server.keeper.reload()
                for _ in range(5):
                    assert await says(port, ours) == b"hello\n"
                    made += 1
        return made

    assert asyncio.run(scenario()) == 20


def test_httpx_talks_through_it_and_over_new_material_after_an_exchange(server, client):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def scenario() -> list[str]:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context(server.keeper, peers=TO_CLIENT))
        ours = client_context(client.keeper, peers=TO_SERVER)
        async with listening, httpx.AsyncClient(verify=ours, trust_env=False) as asking:
            url = f"https://localhost:{listening.sockets[0].getsockname()[1]}/"
            said = [(await asking.get(url)).text]
            new = authority("new")
            for side, name in ((server, SERVER), (client, CLIENT)):
                write(side.directory, leaf(new, name), new)
                await side.keeper.reload()
            return [*said, (await asking.get(url)).text]

    assert asyncio.run(scenario()) == ["ok", "ok"]


def over_sockets(server: ssl.SSLContext, client: ssl.SSLContext, use: Callable[[ssl.SSLSocket], bytes]) -> bytes:
    """A server in a thread that shakes hands only by reading, as `http.server` does."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        connection.settimeout(5)
        with suppress(OSError), server.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as wrapped:
            use(wrapped)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with socket.create_connection(listening.getsockname(), timeout=5) as raw, client.wrap_socket(raw) as wrapped:
            wrapped.sendall(b"hello\n")
            return wrapped.recv(100)
    except OSError:
        return b""
    finally:
        thread.join()
        listening.close()


@pytest.mark.parametrize("reading", ["recv", "read", "recv_into", "makefile", "sendall", "write"])
def test_no_way_of_reading_or_writing_a_socket_goes_round_the_verification(tmp_path, server, client, reading):
    uses: dict[str, Callable[[ssl.SSLSocket], Any]] = {
        "recv": lambda each: each.sendall(each.recv(100)),
        "read": lambda each: each.sendall(each.read(100)),
        "recv_into": lambda each: (each.recv_into(bytearray(100)), each.sendall(b"x")),
        "makefile": lambda each: each.sendall(each.makefile("rb").readline()),
        "sendall": lambda each: each.sendall(b"x"),
        "write": lambda each: each.write(b"x"),
    }
    context = server_context(server.keeper, peers=TO_CLIENT)
    good, wrong = bare(tmp_path, leaf(ROOT, CLIENT)), bare(tmp_path, leaf(ROOT, OTHER))
    assert over_sockets(context, good, uses[reading]) != b""
    assert over_sockets(context, wrong, uses[reading]) == b""
    assert server.refused() == [Refusal.WRONG_ID.value]


def test_a_good_peer_on_both_sides_over_sockets(server, client):
    ours = client_context(client.keeper, peers=TO_SERVER)
    assert over_sockets(server_context(server.keeper, peers=TO_CLIENT), ours, lambda each: each.sendall(each.recv(100))) == b"hello\n"


def test_any_purpose_is_no_purpose(tmp_path, server):
    context = bare(tmp_path, leaf(ROOT, CLIENT, usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]))
    assert talk(server, context)[0] == b""


def test_a_certificate_that_ends_soon_still_counts(tmp_path, server):
    assert talk(server, Side.of(tmp_path / "c", leaf(ROOT, CLIENT, ends=timedelta(minutes=1))))[0] == b"hello\n"


def test_on_uvloop_the_same_peers_are_refused(tmp_path, server, client):
    wrong = bare(tmp_path, leaf(ROOT, OTHER))
    heard = Heard()

    async def scenario() -> list[bytes]:
        ours = client_context(client.keeper, peers=TO_SERVER)
        async with asyncio.timeout(10), serving(server_context(server.keeper, peers=TO_CLIENT), heard) as port:
            return [await says(port, ours), await says(port, wrong)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == [b"hello\n", b""]
    assert heard.bytes == [b"hello\n"]
    assert server.refused() == [Refusal.WRONG_ID.value]
