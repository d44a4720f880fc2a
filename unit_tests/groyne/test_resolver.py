"""The resolver as its clients see it: dnspython over UDP and TCP on loopback."""

import asyncio
import random
import socket

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from groyne import resolver as module
from groyne.resolver import Resolver

ANSWERS = {
    "both.test": ["93.184.216.34", "2606:2800::1"],
    "four.test": ["93.184.216.34"],
    "inner.test": ["93.184.216.34", "10.0.0.1"],
    "many.test": [f"2606:2800::{number:x}" for number in range(1, 64)],
}
STATIC = {"pinned.test": ("127.0.0.1", "::1")}


def system(host: str) -> list[str]:
    if host not in ANSWERS:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return ANSWERS[host]


async def ask(resolver, name: str, kind: str = "A", *, tcp: bool = False, **options):
    query = dns.message.make_query(name, kind, **options)
    send = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    address, port = resolver.address
    return await send(query, address, port=port, timeout=10)


def addresses(reply) -> list[str]:
    return sorted(record.address for answer in reply.answer for record in answer)


def serving(scene, **options):
    """Runs `scene` against a resolver; both must end."""

    async def main():
        async with asyncio.timeout(30), Resolver(static=STATIC, system=system, **options) as resolver:
            await scene(resolver)

    asyncio.run(main())


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
@pytest.mark.parametrize(
    ("name", "kind", "rcode", "expected"),
    [
        ("both.test", "A", dns.rcode.NOERROR, ["93.184.216.34"]),
        ("both.test", "AAAA", dns.rcode.NOERROR, ["2606:2800::1"]),
        ("four.test", "AAAA", dns.rcode.NOERROR, []),
        ("pinned.test", "A", dns.rcode.NOERROR, ["127.0.0.1"]),
        ("pinned.test", "AAAA", dns.rcode.NOERROR, ["::1"]),
        ("PINNED.test", "A", dns.rcode.NOERROR, ["127.0.0.1"]),
        ("inner.test", "A", dns.rcode.REFUSED, []),
        ("inner.test", "AAAA", dns.rcode.REFUSED, []),
        ("nobody.test", "A", dns.rcode.NXDOMAIN, []),
        ("127.1", "A", dns.rcode.NXDOMAIN, []),
        ("*.test", "A", dns.rcode.NXDOMAIN, []),
        (".", "A", dns.rcode.NXDOMAIN, []),
        ("both.test", "TXT", dns.rcode.NOERROR, []),
        ("both.test", "HTTPS", dns.rcode.NOERROR, []),
        ("both.test", "ANY", dns.rcode.NOERROR, []),
    ],
)
def test_names_are_answered(tcp, name, kind, rcode, expected):
    """The same over both transports."""

    async def scene(resolver):
        reply = await ask(resolver, name, kind, tcp=tcp)
        assert (reply.rcode(), addresses(reply)) == (rcode, expected)
        assert all(answer.ttl <= 30 for answer in reply.answer)
        if name.lower() == "pinned.test":
            assert reply.answer[0].ttl == 0

    serving(scene)


def test_a_refusal_is_told_with_its_address():
    """The audit can say why a request failed."""
    refused = []

    async def scene(resolver):
        await ask(resolver, "inner.test")

    serving(scene, on_refused=lambda host, address: refused.append((host, address)))
    assert refused == [("inner.test", "10.0.0.1")]


def test_a_large_answer_is_fetched_over_tcp():
    """Over UDP it is marked as cut; the same port answers over TCP."""

    async def scene(resolver):
        assert (await ask(resolver, "many.test", "AAAA", use_edns=0, payload=4096)).flags & dns.flags.TC
        assert len(addresses(await ask(resolver, "many.test", "AAAA", tcp=True))) == 63

    serving(scene)


def test_the_letters_case_comes_back():
    """A client that mixes it recognises its own question."""

    async def scene(resolver):
        reply = await ask(resolver, "BoTh.tEsT")
        assert reply.question[0].name.to_text() == "BoTh.tEsT."
        assert addresses(reply) == ["93.184.216.34"]

    serving(scene)


def test_rubbish_over_udp_disturbs_nobody():
    """Broken packets of all kinds, then a proper question."""

    async def scene(resolver):
        source = random.Random(1)
        good = dns.message.make_query("both.test", "A").to_wire()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for number in range(500):
                packet = bytearray(good[: source.randrange(len(good) + 1)])
                for _ in range(source.randrange(4)):
                    if packet:
                        packet[source.randrange(len(packet))] = source.randrange(256)
                client.sendto(packet, resolver.address)
                if number % 20 == 0:
                    assert addresses(await ask(resolver, "both.test")) == ["93.184.216.34"]

    serving(scene)


@pytest.mark.parametrize("sent", [b"", b"\0", b"\0\0", b"\xff\xffabc", b"\0\x05hello", b"GET / HTTP/1.1\r\n\r\n"])
def test_rubbish_over_tcp_ends_its_connection_only(sent):
    """The connection is closed; others are served."""

    async def scene(resolver):
        reader, writer = await asyncio.open_connection(*resolver.address)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert addresses(await ask(resolver, "both.test", tcp=True)) == ["93.184.216.34"]

    serving(scene)


def test_several_questions_on_one_connection_are_answered_in_order():
    """As DNS over TCP has it."""

    async def scene(resolver):
        reader, writer = await asyncio.open_connection(*resolver.address)
        for name in ("both.test", "nobody.test"):
            wire = dns.message.make_query(name, "A").to_wire()
            writer.write(len(wire).to_bytes(2) + wire)
        rcodes = []
        for _ in range(2):
            length = int.from_bytes(await reader.readexactly(2))
            rcodes.append(dns.message.from_wire(await reader.readexactly(length)).rcode())
        assert rcodes == [dns.rcode.NOERROR, dns.rcode.NXDOMAIN]
        writer.close()

    serving(scene)


def test_silent_and_surplus_connections_are_closed(monkeypatch):
    """Nobody holds a place for nothing, and there are only so many."""
    monkeypatch.setattr(module, "IDLE", 0.05)
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 2)

    async def scene(resolver):
        opened = [await asyncio.open_connection(*resolver.address) for _ in range(5)]
        for reader, _ in opened:
            try:
                assert await reader.read() == b""
            except ConnectionError:  # aborted, as it may be
                continue
        assert resolver.statistics()["connections"] == 0
        for _, writer in opened:
            writer.close()

    serving(scene)


def test_too_many_waiting_questions_are_dropped(monkeypatch):
    """The client asks again; memory does not grow."""
    monkeypatch.setattr(module, "MAX_WAITING", 0)

    async def scene(resolver):
        query = dns.message.make_query("both.test", "A")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dns.asyncquery.udp(query, resolver.address[0], port=resolver.address[1])

    serving(scene)


def test_the_end_takes_everything_with_it():
    """Open connections and questions still waiting do not hold the resolver up, and its port is free again."""
    hold = asyncio.Event()
    address = []

    async def scene(resolver):
        address.append(resolver.address)

        async def forever(_host):
            await hold.wait()

        resolver._names.find = forever
        reader, writer = await asyncio.open_connection(*resolver.address)
        wire = dns.message.make_query("both.test", "A").to_wire()
        writer.write(len(wire).to_bytes(2) + wire)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(wire, resolver.address)
            while resolver.statistics()["waiting"] < 2:  # noqa: ASYNC110 - nothing else says so
                await asyncio.sleep(0)
        address.append((reader, writer))

    serving(scene)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(address[0])


def test_an_exception_of_the_caller_stays_what_it_is():
    """It is not wrapped into a group, and the resolver has ended."""

    async def main():
        async with Resolver(static={}, system=system) as resolver:
            await ask(resolver, "both.test")
            raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        asyncio.run(main())


def test_both_transports_share_a_port():
    """A client that is told to come back knows no other."""
    udp, tcp = module._sockets()
    with udp, tcp:
        assert udp.getsockname() == tcp.getsockname()
