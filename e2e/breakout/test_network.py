"""Attempts around names, addresses, ports and the proxy itself: metadata services, private places, loopback, slow and silent clients."""

import itertools
import socket
import time
from collections.abc import Callable

import pytest

from e2e.breakout import policies
from e2e.breakout.hello import client_hello
from e2e.breakout.laptop import (
    Attempt,
    Laptop,
    allowed,
    canary,
    laptop,
    leaks,
    refused,
    refused_each,
    refused_inside,
    visits_to_private_places,
)
from e2e.breakout.raw import Stream, connect_request, request
from e2e.breakout.world import NET, NET6, World
from e2e.breakout.world import PRIVATE as PRIVATE_SERVERS

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy


def get(url: str, host: str | None = None) -> Attempt:
    authority = url.partition("://")[2].partition("/")[0]
    return lambda laptop: laptop.plain(request(url, host or authority))


def origin(host: str) -> Attempt:
    """The request of a client that takes the proxy for the server."""
    return lambda laptop: laptop.plain(request("/latest/meta-data/", host))


def connect(authority: str) -> Attempt:
    return lambda laptop: laptop.connect(authority)


def test_the_plain_forms(deny: Laptop, lax: Laptop) -> None:
    """The control: names and addresses that may be reached are, and those that may not are refused."""
    for running in (deny, lax):
        allowed(running, get("http://pass.ok.test/"), "pass")
        refused_each(running, {"in the clear": get("http://evil.test/"), "a tunnel": connect("evil.test:443")})
    allowed(lax, get(f"http://{NET}.11/"), "pass")
    allowed(lax, get(f"http://[{NET6}:66]/"), "evil")  # by its address; only its name is blocked


def test_the_private_places_do_answer(outside: World) -> None:
    """The control of everything private: without Groyne, each is reached from the same network."""
    for address in ("169.254.169.254", "10.96.0.1", "127.0.0.1", "::1"):
        stream = Stream(outside.sockets.connect(address, 80))
        assert stream.send(request("/", "x")).answer().status == 200, address
        stream.close()
    outside.recorder.visits[:] = [visit for visit in outside.recorder.visits if visit.server not in PRIVATE_SERVERS]


PRIVATE = (
    "169.254.169.254", "10.96.0.1", "127.0.0.1", "127.1.2.3", "0.0.0.0", "192.168.0.1", "172.16.0.1", "172.31.255.255", "100.64.0.1",
    "168.63.129.16", "100.100.100.200", "192.0.0.192", "224.0.0.1", "255.255.255.255", "198.18.0.1",
    "[::1]", "[::]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[fec0::1]",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[0:0:0:0:0:ffff:a9fe:a9fe]",
    "[::169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::1]", "[2001:0:a9fe:a9fe::1]",
    "[::ffff:127.0.0.1]", "[::ffff:0:127.0.0.1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[64:ff9b:1::1]",
)  # fmt: skip
SPELLINGS = (
    "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "169.254.43518", "169.16689662", "169.254.169.254.", "127.1",
    "0177.1", "0", "127.000.000.001",
    "[::ffff:169.254.169.254%25lo]", "[fe80::1%25lo]", "[::1%lo]", "[::ffff:0xa9fe:a9fe]", "[169.254.169.254]",
    "169.254.169.254%00", "::1", "fe80::1", "x@169.254.169.254",
    "\xe2\x91\xa0\xe2\x91\xa5\xe2\x91\xa8.254.169.254", "169\xe3\x80\x82254\xe3\x80\x82169\xe3\x80\x82254",
)  # fmt: skip


def test_private_addresses_are_not_dialled(lax: Laptop) -> None:
    """Under a policy that forbids none of them: each is refused by its address, in every form of request and for every port."""
    forms: dict[str, Callable[[str], Attempt]] = {
        "absolute": lambda host: get(f"http://{host}/latest/meta-data/"),
        "another port": lambda host: get(f"http://{host}:443/"),
        "origin": origin,
        "tunnel": lambda host: connect(f"{host}:443"),
        "tunnel to 80": lambda host: connect(f"{host}:80"),
    }
    for form in forms.values():
        for record in refused_each(lax, {host: form(host) for host in PRIVATE}, 403, 400):
            assert record["reason"] in ("AddressRefused", "MalformedHost"), record
    assert not visits_to_private_places(lax)


def test_other_spellings_of_addresses_are_none(lax: Laptop) -> None:
    """What a resolver would take for an address although it does not look like one is no host, or is that address."""
    for form in (lambda host: get(f"http://{host}/"), origin, lambda host: connect(f"{host}:80")):
        refused_each(lax, {host: form(host) for host in SPELLINGS}, 400, 403)
    assert not visits_to_private_places(lax)


def test_a_metadata_token_is_not_fetched(lax: Laptop) -> None:
    put = request("http://169.254.169.254/latest/api/token", "169.254.169.254", "X-aws-ec2-metadata-token-ttl-seconds: 60", method="PUT")
    refused_each(lax, {"PUT": lambda laptop: laptop.plain(put), "by name": get("http://metadata.internal/")})


REBOUND = {
    "metadata": ("169.254.169.254",), "the cluster": ("10.96.0.1",), "loopback": ("127.0.0.1",), "IPv6 loopback": ("::1",),
    "a public one first": (f"{NET}.12", "10.96.0.1"), "a public one last": ("169.254.169.254", f"{NET}.12"),
    "v4 in v6": ("::ffff:169.254.169.254",), "NAT64": ("64:ff9b::a9fe:a9fe",), "6to4": ("2002:a9fe:a9fe::1",),
    "unique local": ("fd00:ec2::254",), "public in one family": (f"{NET}.12", "fd00:ec2::254"), "unspecified": ("0.0.0.0",),
}  # fmt: skip


def in_tls(host: str) -> Attempt:
    return lambda laptop: laptop.tls(f"{host}:443", host, request("/", host))


def test_allowed_names_that_lead_to_private_places(deny: Laptop, lax: Laptop) -> None:
    """Intercepted, end-to-end and in the clear: every address of the answer counts, not the name."""
    names = {kind: f"name{number}" for number, kind in enumerate(REBOUND)}
    for kind, addresses in REBOUND.items():
        for host in (f"{names[kind]}.wild.ok.test", f"{names[kind]}.free.test"):
            deny.world.rename(host, *addresses)
    wild = {kind: f"{name}.wild.ok.test" for kind, name in names.items()}
    free = {kind: f"{name}.free.test" for kind, name in names.items()}
    attempts = (
        (deny, {kind: in_tls(host) for kind, host in wild.items()}, 403),
        (deny, {kind: get(f"http://{host}/") for kind, host in wild.items()}, 403),
        (lax, {kind: get(f"http://{host}/") for kind, host in free.items()}, 403),
    )
    records = [record for running, family, status in attempts for record in refused_each(running, family, status)]
    records += refused_inside(lax, {kind: (f"{host}:443", client_hello(host)) for kind, host in free.items()})
    assert {record["reason"] for record in records} == {"AddressRefused"}
    assert not visits_to_private_places(deny)


def test_a_name_that_changes_its_mind(deny: Laptop) -> None:
    """Public when it is asked for first, private a moment later, and back: at no moment is the private address dialled."""
    host = "rebound.wild.ok.test"
    deny.world.rename(host, f"{NET}.12")
    allowed(deny, in_tls(host), "wild")
    for address in ("169.254.169.254", "10.96.0.1", "127.0.0.1"):
        deny.world.rename(host, address)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert in_tls(host)(deny).status in (200, 403)
    deny.settle()
    assert not visits_to_private_places(deny)


def test_names_of_the_machine_itself(lax: Laptop) -> None:
    """Those that /etc/hosts gives a private address, and those that every resolver knows."""
    hosts = ("localhost", "localhost.", "LOCALHOST", "x.localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "groyne")
    hosts = (*hosts, "metadata.machine", "kubernetes.machine")
    refused_each(lax, {host: get(f"http://{host}/") for host in hosts})
    refused_inside(lax, {host: (f"{host}:443", client_hello(host)) for host in hosts if not host.endswith(".")})
    assert not visits_to_private_places(lax)


def test_a_refused_name_is_not_even_asked_for(deny: Laptop) -> None:
    """What is in a name does not travel to its name server: the rules come before any question."""
    before = len(deny.world.recorder.questions)
    secret = f"{deny.canary.lower()}.t.evil.test"
    tunnels = {f"tunnel to {port}": connect(f"{secret}:{port}") for port in (443, 53)}
    refused_each(deny, {"in the clear": get(f"http://{secret}/"), **tunnels})
    assert not any(b"evil" in question for question in deny.world.recorder.questions[before:])


def test_doh_and_dot_are_hosts_like_others(deny: Laptop) -> None:
    attempts = {
        "DoH by address": connect("192.31.196.66:443"), "DoH by name": connect("dns.google:443"), "DoT": connect(f"{NET}.66:853"),
        "DNS over TCP": connect(f"{NET}.66:53"),
    }  # fmt: skip
    refused_each(deny, attempts)


def test_ports_that_a_rule_does_not_name(deny: Laptop) -> None:
    """api.ok.test is allowed on 80 and 443; the others are served as well, and refused."""
    allowed(deny, get("http://api.ok.test:80/x"), "api")
    ports = (22, 25, 8443)
    refused_each(deny, {f"tunnel to {port}": connect(f"api.ok.test:{port}") for port in ports})
    refused_each(deny, {f"request to {port}": get(f"http://api.ok.test:{port}/x") for port in ports})
    odd = {"a long port": "api.ok.test:00022", "beyond all ports": "api.ok.test:65979", "none": "api.ok.test"}
    refused_each(deny, {name: connect(authority) for name, authority in odd.items()}, 400, 403)


def test_forbidden_things_asked_of_the_proxy(deny: Laptop) -> None:
    attempts = {
        "a tunnel": connect("evil.test:443"), "a request": get("http://evil.test/"), "another port": connect("api.ok.test:22"),
        "an address": connect(f"{NET}.66:443"), "an address in the clear": get(f"http://{NET}.66/"), "IPv6": connect(f"[{NET6}:66]:443"),
    }  # fmt: skip
    refused_each(deny, attempts)


def test_an_address_with_an_allowed_name_in_tls(lax: Laptop, deny: Laptop) -> None:
    """The address that was asked for is not dialled under another's name."""
    attempt: Attempt = lambda laptop: laptop.through(f"{NET}.66:443", client_hello("pass.ok.test"), patience=8)  # noqa: E731
    refused(deny, attempt, 403)
    refused(lax, attempt, 0)


def test_an_allowance_for_a_private_address_is_for_that_host_and_port(outside: World) -> None:
    """`--resolve` opens one door: not the same address under other names, nor other ports of it."""
    token = canary()
    options = ("--resolve", "pinned.ok.test:8081:127.0.0.1", "--resolve", "127.0.0.1:8082:127.0.0.1")
    outside.rename("rebound.test", "127.0.0.1")
    with laptop(outside, "pinned", policies.files(policies.OPEN, token), token, *options) as running:
        for url in ("http://pinned.ok.test:8081/", "http://PINNED.ok.test.:8081/", "http://127.0.0.1:8082/"):
            allowed(running, get(url), "host")
        forbidden = (
            "pinned.ok.test", "pinned.ok.test:8082", "pinned.ok.test:443", "x.pinned.ok.test:8081", "127.0.0.1:8081", "127.0.0.1", "127.1:8082",
            "[::1]:8082", "[::ffff:127.0.0.1]:8082", "127.0.0.2:8082", "localhost:8082", "rebound.test:8081", "rebound.test:8082", "evil.test:8081",
        )  # fmt: skip
        refused_each(running, {host: get(f"http://{host}/") for host in forbidden}, 403, 400)
        refused_each(running, {host: origin(host) for host in forbidden}, 403, 400)
        tunnels = [
            host for host in forbidden if ":" in host and host not in ("rebound.test:8081", "rebound.test:8082", "x.pinned.ok.test:8081")
        ]
        refused_each(running, {host: connect(host) for host in tunnels if not host.startswith("localhost")}, 403, 400)
        names = ("rebound.test", "localhost", "x.pinned.ok.test")
        refused_inside(running, {name: (f"{name}:8082", client_hello(name)) for name in names})
        # What was allowed before one request on a connection is not allowed before the next.
        stream = running.proxy().send(request("http://pinned.ok.test:8081/", "pinned.ok.test"))
        assert stream.answer().status == 200
        assert stream.send(request("http://pinned.ok.test:8082/", "pinned.ok.test")).answer().status == 403
        stream.close()


FOREIGN = {
    "a TLS hello": client_hello("evil.test"), "an SSH banner": b"SSH-2.0-x\r\n",
    "SOCKS 4": b"\x04\x01\x01\xbb\xc0\x1f\xc4\x42\x00", "SOCKS 5": b"\x05\x01\x00",
    "a PROXY line": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n" + request("http://evil.test/", "evil.test"),
    "a PROXY header": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12), "zeros": bytes(100),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}  # fmt: skip


def test_other_protocols_on_the_proxys_port(deny: Laptop) -> None:
    refused_each(deny, {name: lambda laptop, data=data: laptop.plain(data) for name, data in FOREIGN.items()}, 400, 0)


def inside_only(running: Laptop) -> None:
    if not running.isolated:
        pytest.skip("no wall on this machine")


def test_nothing_listens_inside_but_the_proxy(deny: Laptop) -> None:
    """No administration, metrics, health or debugging port: every port of both loopback addresses was tried."""
    inside_only(deny)
    port = int(deny.environment["HTTPS_PROXY"].rpartition(":")[2])
    assert deny.inside.result("open_ports", address="127.0.0.1") == [port]
    assert deny.inside.result("open_ports", address="::1") == [port]


@pytest.mark.parametrize("path", ["/", "/config_dump", "/certs", "/stats", "/ready", "/quitquitquit", "/logging?level=trace"])
def test_the_proxy_administers_nothing(deny: Laptop, path: str) -> None:
    """Envoy's administration is a socket outside; the proxy's port knows no such paths under any name."""
    hosts = ("127.0.0.1:15080", "localhost:15080", "127.0.0.1:15000", "admin", "envoy", "groyne")
    attempts = {host: (lambda laptop, host=host: laptop.plain(request(path, host))) for host in hosts}
    refused_each(deny, {**attempts, "absolute": get(f"http://127.0.0.1:15000{path}")})


def test_envoys_sockets_cannot_be_reached(deny: Laptop) -> None:
    inside_only(deny)
    sockets = list((deny.world.directory / "tmp").glob("groyne-*/run-*/private/*.sock"))
    assert len(sockets) >= 2
    for path in sockets:
        with pytest.raises(OSError, match=r"EACCES|ENOENT|ECONNREFUSED|EPERM"):
            deny.inside.made("connect", family=socket.AF_UNIX, kind=socket.SOCK_STREAM, address=str(path), timeout=2)


def test_a_program_that_ignores_the_proxy_reaches_nothing(lax: Laptop) -> None:
    """Not what is allowed either: there is no way out but the proxy, for names and datagrams neither."""
    inside_only(lax)
    before = len(lax.world.recorder.visits), len(lax.world.recorder.questions)
    assert Stream(lax.world.sockets.connect(f"{NET}.66", 443)).socket.getpeername()  # the control: from outside the wall it is there
    for address in (f"{NET}.66", f"{NET}.11", f"{NET6}:66", "169.254.169.254", "127.0.0.1", "::1"):
        with pytest.raises(OSError, match=r"ENETUNREACH|ECONNREFUSED|EHOSTUNREACH|EADDRNOTAVAIL|TimeoutError"):
            lax.inside.connect(address, 80, timeout=1)
    for family, address in ((socket.AF_INET, ("127.0.0.1", 53)), (socket.AF_INET, (f"{NET}.66", 443))):
        try:
            lax.inside.result("send_datagram", family=family, address=address, text=lax.canary)
        except OSError:
            continue
    assert len(lax.world.recorder.visits) == before[0] + 1
    assert not lax.world.recorder.questions[before[1] :]


def test_without_the_wall_groyne_says_so(outside: World) -> None:
    token = canary()
    with laptop(outside, "advisory", policies.files(policies.DENY, token), token, "--no-isolate") as running:
        refused(running, connect("evil.test:443"))
        said = running.stop()
    assert "not isolated" in said
    assert "past the policy" in said


DRIPS = (request("http://pass.ok.test/", "pass.ok.test"), connect_request("pass.ok.test:443"), b"x" * 200)
# In a tunnel to an intercepted host: a hello that begins, a handshake that stops half-way, and nothing at all.
BEGINNINGS = (client_hello("api.ok.test")[:50], client_hello("api.ok.test"), b"")


def test_slow_and_silent_clients_are_closed_and_honest_ones_served(deny: Laptop) -> None:
    """Who sends a byte now and then, or stops in a handshake, is ended after the time-out of 10 s; meanwhile others get their answers."""
    mark = deny.mark()
    quiet = honest(deny, 20)
    slow = [(deny.proxy(), iter(data)) for data in itertools.islice(itertools.cycle(DRIPS), 300)]
    silent = [deny.tunnel("api.ok.test:443")[0].send(beginning) for beginning in BEGINNINGS]
    started = time.monotonic()
    busy: list[float] = []
    while time.monotonic() < started + 9:
        for stream, data in slow:
            stream.send(bytes([next(data, 120)]))
        busy += honest(deny, 5)
        time.sleep(0.8)
    assert time.monotonic() < started + 13, "the test was too slow to be one"
    streams = [*(stream for stream, _ in slow), *silent]
    ended = [stream.rest(patience=max(0.2, started + 14 - time.monotonic())).ended for stream in streams]
    assert set(ended) <= {"closed", "reset"}, ended
    assert sorted(busy)[-len(busy) // 20 - 1] < 2 * max(quiet) + 0.1, (quiet, busy)
    happened = deny.since(mark)
    refusals = [record for record in happened.records if record["verdict"] == "blocked"]
    assert len(refusals) == len(streams)
    assert {record["reason"] for record in refusals} == {"RequestTimeout", "NotJudgeable", "HandshakeTimeout"}
    for stream in streams:
        stream.close()


def honest(running: Laptop, count: int) -> list[float]:
    taken = []
    for _ in range(count):
        before = time.monotonic()
        assert running.plain(request("http://pass.ok.test/", "pass.ok.test")).status == 200
        taken.append(time.monotonic() - before)
    return taken


def test_more_connections_than_the_relay_takes(lax: Laptop) -> None:
    """Beyond 1024 the relay resets, and serves again as soon as there is room: nothing passes past it."""
    mark = lax.mark()
    streams = [lax.proxy() for _ in range(1100)]
    last = streams[-1].send(request("http://evil.test/", "evil.test")).answer(patience=5)
    assert last.status in (0, 403)
    for stream in streams:
        stream.close()
    time.sleep(0.2)
    allowed(lax, get("http://pass.ok.test/"), "pass")
    assert not [visit for visit in lax.since(mark).visits if visit.server != "pass"]


def test_the_credential_was_nowhere_but_at_its_host(deny: Laptop, lax: Laptop) -> None:
    assert not leaks(deny)
    assert not leaks(lax)
