"""Attempts in HTTP/2, intercepted and with prior knowledge in the clear: names that disagree, pseudo-headers, tunnels, floods."""

import struct
import time
from collections.abc import Callable, Iterable, Mapping

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import pytest

from e2e.breakout.laptop import Attempt, Laptop, allowed, leaks
from e2e.breakout.raw import Seen, Stream, request, secure

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

HOST = "api.ok.test"
Headers = list[tuple[str, str]]


class Client:
    """One connection; what it sends is not checked, and its answers come stream by stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        settings = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding=None)
        self.connection = h2.connection.H2Connection(settings)
        self.connection.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self._stream.send(self.connection.data_to_send())

    def send(self, headers: Headers, body: bytes = b"", *, end: bool = True) -> int:
        number = self.connection.get_next_available_stream_id()
        self.connection.send_headers(
            number, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], end_stream=end and not body
        )
        if body:
            self.connection.send_data(number, body, end_stream=end)
        self.flush()
        return number

    def answers(self, numbers: Iterable[int], *, patience: float = 8) -> dict[int, int]:
        """The status of each stream; 0: it was reset, or the connection ended."""
        wanted, found = set(numbers), dict.fromkeys(numbers, 0)
        self._stream.socket.settimeout(patience)
        while wanted:
            try:
                data = self._stream.socket.recv(1 << 16)
            except OSError:
                break
            if not data:
                break
            for event in self._events(data):
                if isinstance(event, h2.events.ResponseReceived):
                    found[event.stream_id] = int(dict(event.headers)[b":status"])
                if isinstance(event, h2.events.StreamReset | h2.events.StreamEnded):
                    wanted.discard(event.stream_id)
                if isinstance(event, h2.events.ConnectionTerminated):
                    wanted.clear()
            self.flush()
        return found

    def _events(self, data: bytes) -> list[h2.events.Event]:
        """What follows the end of a connection is no protocol any more."""
        try:
            return self.connection.receive_data(data)
        except h2.exceptions.ProtocolError:
            return [h2.events.ConnectionTerminated()]

    def close(self) -> None:
        self._stream.close()


def intercepted(laptop: Laptop) -> Client:
    stream, seen = laptop.tunnel(f"{HOST}:443")
    assert seen.status == 200
    return Client(Stream(secure(stream.socket, laptop.context("h2"), HOST)))


def in_the_clear(laptop: Laptop) -> Client:
    """Prior knowledge, in a tunnel to the plain port: the proxy's own port speaks HTTP/1 alone."""
    stream, seen = laptop.tunnel(f"{HOST}:80")
    assert seen.status == 200
    return Client(stream)


Way = Callable[[Laptop], Client]


def usual(path: str = "/x", *, method: str = "GET", authority: str = HOST, scheme: str = "https") -> Headers:
    return [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]


def once(way: Way, headers: Headers, body: bytes = b"") -> Attempt:
    def attempt(laptop: Laptop) -> Seen:
        client = way(laptop)
        number = client.send(headers, body)
        status = client.answers([number])[number]
        client.close()
        return Seen(status=status)

    return attempt


def together(laptop: Laptop, way: Way, family: Mapping[str, Headers], *, end: bool = True) -> dict[str, int]:
    """Each on a connection of its own, all at once: a connection that is ended for an error is held open for a second."""
    clients = {name: way(laptop) for name in family}
    numbers = {name: client.send(family[name], end=end) for name, client in clients.items()}
    found = {name: client.answers([numbers[name]], patience=4)[numbers[name]] for name, client in clients.items()}
    for client in clients.values():
        client.close()
    return found


@pytest.fixture(params=[intercepted, in_the_clear], ids=["intercepted", "in the clear"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


def test_the_plain_forms(lax: Laptop) -> None:
    """The control. In the clear the server would have to speak HTTP/2 as well: only refusals are tried there."""
    assert lax.canary.encode() in allowed(lax, once(intercepted, usual("/v1/x")), "api").raw


REFUSED: dict[str, Headers] = {
    "a path": usual("/admin"), "escaped": usual("/%61dmin"), "dots": usual("/x/../admin"), "slashes": usual("//admin"), "a backslash": usual("/\\admin"),
    "a method": usual(method="DELETE"), "a header": [*usual(), ("x-role", "admin")], "in other letters": [*usual(), ("X-Role", "admin")],
    "an escaped slash": usual("/x%2fadmin"), "a fragment": usual("/admin#x"), "no slash": usual("admin"), "an absolute path": usual("http://evil.test/"),
    "an asterisk": usual("*"), "an empty path": usual(""), "a path with a space": usual("/x HTTP/1.1\r\nx: y"),
}  # fmt: skip


def test_what_is_refused_in_http1_is_refused_here(lax: Laptop, way: Way) -> None:
    mark = lax.mark()
    for name, status in together(lax, way, REFUSED).items():
        assert status in (403, 400, 404, 0), (name, status)
    happened = lax.since(mark)
    assert not happened.visits, happened.visits
    assert len(happened.records) == len(REFUSED), happened.records
    assert all(record["verdict"] == "blocked" and record["reason"] for record in happened.records), happened.records


NAMES = {
    "another host": usual(authority="evil.test"), "a host line besides": [*usual(), ("host", "evil.test")], "a user": usual(authority=f"x@{HOST}"),
    "only a host line": [(":method", "GET"), (":scheme", "https"), (":path", "/x"), ("host", "evil.test")],
    "two authorities": [*usual()[:3], (":authority", "evil.test"), (":path", "/x")], "a comma": usual(authority=f"{HOST},evil.test"),
    "no authority": [(":method", "GET"), (":scheme", "https"), (":path", "/x")], "an empty one": usual(authority=""),
    "with a path": usual(authority=f"{HOST}/evil"), "with a space": usual(authority=f"{HOST} evil.test"), "with NUL": usual(authority=f"{HOST}\x00.evil.test"),
}  # fmt: skip


def test_names_that_disagree(lax: Laptop, way: Way) -> None:
    """No server gets a request that could be taken for another host's."""
    mark = lax.mark()
    for name, status in together(lax, way, NAMES).items():
        assert status in (400, 403, 404, 421, 503, 0) or name == "a host line besides", (name, status)
    happened = lax.since(mark)
    assert not any(b"evil" in visit.raw for visit in happened.visits), happened.visits
    assert not happened.at("evil")


PSEUDO = {
    "two paths": [*usual(), (":path", "/admin")], "a path after the headers": [*usual()[:3], ("x", "y"), (":path", "/admin")],
    "an unknown one": [*usual(), (":admin", "x")], "a status": [*usual(), (":status", "200")], "a line break": [*usual(), ("x", "y\r\nx-role: admin")],
    "a line break in a name": [*usual(), ("x\r\nx-role", "admin")], "NUL": [*usual(), ("x", "\x00")], "connection": [*usual(), ("connection", "x-role")],
    "transfer-encoding": [*usual("/x", method="POST"), ("transfer-encoding", "chunked")], "an upgrade": [*usual(), ("upgrade", "h2c")],
    "te": [*usual(), ("te", "chunked")], "two lengths": [*usual("/x", method="POST"), ("content-length", "0"), ("content-length", "5")],
    "a colon in a name": [*usual(), ("x:y", "z")], "an empty name": [*usual(), ("", "z")], "a space in a name": [*usual(), ("x y", "z")],
}  # fmt: skip


def test_headers_that_http1_could_not_carry(lax: Laptop) -> None:
    """They must not become lines of their own at a server that is spoken to in HTTP/1."""
    mark = lax.mark()
    for name, status in together(lax, intercepted, PSEUDO).items():
        assert status in (200, 400, 403, 404, 501, 0), (name, status)
    happened = lax.since(mark)
    for visit in happened.visits:
        assert b"/admin" not in visit.raw
        assert b"x-role" not in visit.raw.lower()
        assert b"transfer-encoding" not in visit.raw.lower()
        assert b"upgrade" not in visit.raw.lower()


def test_a_length_that_the_body_does_not_have(lax: Laptop) -> None:
    """More or less than was said is no request, and nothing of it becomes a second one."""
    smuggled = b"GET /admin HTTP/1.1\r\nHost: api.ok.test\r\n\r\n"
    mark = lax.mark()
    for length in (0, 5, 500):
        once(intercepted, [*usual("/x", method="POST"), ("content-length", str(length))], smuggled)(lax)
    assert not any(line.startswith(b"GET /admin") for visit in lax.since(mark).visits for line in visit.requests)


TUNNELS = {
    "a tunnel": [(":method", "CONNECT"), (":authority", "evil.test:443")],
    "a tunnel to itself": [(":method", "CONNECT"), (":authority", f"{HOST}:443")],
    "extended": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "evil.test"), (":path", "/")],
    "extended, blocked": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", HOST), (":path", "/admin")],
    "UDP": [
        (":method", "CONNECT"), (":protocol", "connect-udp"), (":scheme", "https"), (":authority", HOST),
        (":path", "/.well-known/masque/udp/evil.test/443/"),
    ],
}  # fmt: skip


def test_no_tunnel_is_opened(lax: Laptop, way: Way) -> None:
    mark = lax.mark()
    for name, status in together(lax, way, TUNNELS, end=False).items():
        assert status in (0, 400, 403, 404, 405, 421), (name, status)
    assert not lax.since(mark).visits


def test_streams_are_judged_one_by_one(lax: Laptop) -> None:
    """Refused and allowed ones, side by side on one connection."""
    client = intercepted(lax)
    paths = ["/x", "/admin", "/v1/x", "/%61dmin"] * 5
    numbers = [client.send(usual(path)) for path in paths]
    found = client.answers(numbers)
    assert [found[number] for number in numbers] == [200, 403, 200, 403] * 5
    client.close()


def test_a_flood_of_resets_ends_the_connection_and_harms_nobody(deny: Laptop) -> None:
    """Rapid reset: others are served meanwhile, and Envoy is the same one afterwards."""
    client = intercepted(deny)
    for _ in range(2000):
        number = client.send(usual("/x"))
        client.connection.reset_stream(number)
    client.flush()
    before = time.monotonic()
    assert deny.plain(request("http://pass.ok.test/", "pass.ok.test")).status == 200
    assert time.monotonic() - before < 2
    client.close()


def test_frames_that_are_none_end_the_connection(deny: Laptop) -> None:
    frames = {
        "a header block without end": struct.pack("!IBI", 16384, 0x01, 1)[1:] + b"\x00" * 16384,
        "a continuation of nothing": b"\x00\x00\x00\x09\x04\x00\x00\x00\x01",
        "a frame too large": b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        "data on no stream": b"\x00\x00\x01\x00\x00\x00\x00\x00\x00x",
        "a window of nothing": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    }
    mark = deny.mark()
    clients = {name: intercepted(deny) for name in frames}
    for name, client in clients.items():
        client._stream.send(frames[name])
    for name, client in clients.items():
        assert client._stream.rest(patience=12).ended in ("closed", "reset"), name
        client.close()
    assert not deny.since(mark).visits


def test_the_credential_was_nowhere_but_at_its_host(lax: Laptop, deny: Laptop) -> None:
    assert not leaks(lax)
    assert not leaks(deny)
