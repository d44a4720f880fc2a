"""The port on real sockets: what a probe gets, and that slow or hostile clients keep nobody from it."""

import asyncio
import errno
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from daemon.certificate_files import CertificateFiles
from daemon.health import Answer, Checks, Health, plain
from daemon.health_server import LONGEST_HEAD, MOST_CONNECTIONS, HealthServer
from daemon.heartbeat import Heartbeat
from daemon.settings import MistakeError
from dataplane.certificates import make_ca, make_leaf

NOW = datetime.now(UTC)  # noqa: TID251
CA = make_ca(now=NOW, name="test")
Start = Callable[..., HealthServer]


def echo(target: str, accept: str) -> Answer:
    return plain(HTTPStatus.OK, f"{target} {accept}")


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**options: object) -> HealthServer:
            server = HealthServer(**{"host": "127.0.0.1", "port": 0, "respond": echo, **options})  # type: ignore[arg-type]
            stack.callback(server.stop)
            server.start()
            return server

        yield started


@pytest.fixture(scope="module")
def running() -> Iterator[HealthServer]:
    """For tests that leave it as it was."""
    server = HealthServer(host="127.0.0.1", port=0, respond=echo)
    server.start()
    yield server
    server.stop()


def connected(server: HealthServer, timeout: float = 10) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=timeout)


def said(server: HealthServer, request: bytes) -> bytes:
    """Everything until the server closes."""
    with connected(server) as connection:
        connection.sendall(request)
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    read = b""
    try:
        while more := connection.recv(65536):
            read += more
    except ConnectionError:
        pass
    return read


def get(server: HealthServer, method: str = "GET", target: str = "/x", host: str = "127.0.0.1", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(host, server.port, timeout=10)
    with closing(connection):
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        answer.read_body = answer.read()  # type: ignore[attr-defined]
        return answer


def body(answer: http.client.HTTPResponse) -> bytes:
    return answer.read_body  # type: ignore[attr-defined, no-any-return]


def test_get_is_answered_with_target_and_accept_as_the_client_said(running: HealthServer) -> None:
    answer = get(running, target="/readyz?verbose", Accept="application/json")
    assert (answer.status, body(answer)) == (200, b"/readyz?verbose application/json\n")
    assert answer.headers["Cache-Control"] == "no-store"


def test_head_is_the_same_without_the_body(running: HealthServer) -> None:
    answer = get(running, "HEAD", "/x")
    assert (answer.status, body(answer), answer.headers["Content-Length"]) == (200, b"", "4")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "BREW"])
def test_other_methods_are_refused(running: HealthServer, method: str) -> None:
    answer = get(running, method, "/healthz")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/9\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1 extra <script>\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\n\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"x" * (LONGEST_HEAD + 1) + b" HTTP/1.1\r\n", b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_not_repeated(running: HealthServer, request_: bytes, status: bytes) -> None:
    answer = said(running, request_)
    assert answer.split(b" ")[1] == status
    assert b"script" not in answer


def test_a_head_without_end_is_refused_after_a_few_kilobytes(running: HealthServer) -> None:
    with connected(running) as connection, pytest.raises(ConnectionError):
        connection.sendall(b"a: b\r\n" * 4_000_000)


def test_a_body_is_not_read_and_its_refusal_still_arrives(running: HealthServer) -> None:
    assert b" 405 " in said(running, b"POST /x HTTP/1.1\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40000)


def test_a_request_may_come_in_pieces(running: HealthServer) -> None:
    with connected(running) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for each in b"GET /slow HTTP/1.0\r\n\r\n":
            connection.sendall(bytes([each]))
        assert rest(connection).endswith(b"/slow \n")


def test_a_client_that_says_nothing_is_cut(start: Start) -> None:
    server = start(deadline=0.2)
    with connected(server) as connection:
        assert rest(connection) == b""


def test_a_client_that_keeps_saying_a_little_is_cut_too(start: Start) -> None:
    """Each byte would start a time-out of its own anew; the connection's deadline does not move."""
    server = start(deadline=0.3)
    with connected(server) as connection:
        connection.settimeout(0.05)
        began = time.monotonic()
        ended = False
        while not ended and time.monotonic() - began < 30:
            try:
                connection.sendall(b"a")
                ended = connection.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True
        assert ended


def test_a_client_that_does_not_read_is_cut(start: Start) -> None:
    """Its answer is larger than what the kernel holds for it."""
    ended = threading.Event()
    large = Answer(status=HTTPStatus.OK, body=b"x" * 50_000_000)
    server = start(deadline=0.3, respond=lambda _target, _accept: large)
    gone = server._server.connections.gone

    def noted(connection: socket.socket) -> None:
        gone(connection)
        ended.set()

    server._server.connections.gone = noted  # type: ignore[method-assign]
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert ended.wait(20)


def test_hostile_clients_do_not_keep_a_probe_from_its_answer(start: Start) -> None:
    """They hold more connections than there may be, and their deadline is far away."""
    server = start(deadline=60)
    with ExitStack() as stack:
        held = [stack.enter_context(connected(server)) for _ in range(3 * MOST_CONNECTIONS)]
        for each in held:
            each.sendall(b"GET / HT")
        assert get(server, target="/healthz").status == 200
        assert threading.active_count() < 2 * MOST_CONNECTIONS + 20
        assert rest(held[0]) == b""


def test_however_many_come_the_threads_are_so_many_at_most(start: Start) -> None:
    held = threading.Event()

    def stuck(_target: str, _accept: str) -> Answer:
        """Not even a cut connection ends these."""
        held.wait(30)
        return plain(HTTPStatus.OK, "late")

    before = threading.active_count()
    server = start(deadline=60, most=2, respond=stuck)
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(connected(server)).sendall(b"GET / HTTP/1.0\r\n\r\n")
        last = stack.enter_context(connected(server))
        assert rest(last) == b""
        assert threading.active_count() <= before + 1 + 4
        held.set()


def test_a_blocked_loop_does_not_silence_it(start: Start) -> None:
    """That is what /healthz is for: the loop stands still while the probe is answered."""
    now = [0.0]
    heartbeat = Heartbeat(clock=lambda: now[0], late=lambda _: None)
    server = start(respond=Health(checks=Checks(), heartbeat=heartbeat, registry=CollectorRegistry()).answer)

    async def blocked() -> tuple[int, int]:
        beating = asyncio.ensure_future(heartbeat.run())
        await asyncio.sleep(0)
        well = get(server, target="/healthz").status
        now[0] = 31
        unwell = get(server, target="/healthz").status
        beating.cancel()
        return well, unwell

    assert asyncio.run(blocked()) == (200, 503)


def test_an_answer_that_fails_ends_its_connection_only(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def respond(target: str, accept: str) -> Answer:
        return plain(HTTPStatus.OK, str(1 // (target != "/bug")))

    server = start(respond=respond)
    assert said(server, b"GET /bug HTTP/1.0\r\n\r\n") == b""
    assert get(server).status == 200
    assert [record.getMessage() for record in caplog.records] == ["a request could not be answered"]


def test_both_families_are_heard(start: Start) -> None:
    server = start(host="::")
    assert get(server, host="127.0.0.1").status == 200
    if socket.has_dualstack_ipv6():
        assert get(server, host="::1").status == 200


def test_where_there_is_no_ipv6_ipv4_is_enough(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_server

    def without(address: tuple[str, int], **options: object) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(address, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_server", without)
    assert get(start(host="::")).status == 200


def test_a_port_that_is_taken_is_the_operators_mistake(start: Start) -> None:
    server = start(host="::")
    with pytest.raises(MistakeError, match=rf"health-host, health-port: cannot listen on `::`, port {server.port}: .*in use"):
        HealthServer(host="::", port=server.port, respond=echo)


def test_an_address_that_is_none_is_too() -> None:
    with pytest.raises(MistakeError, match=r"cannot listen on `192\.0\.2\.1`"):
        HealthServer(host="192.0.2.1", port=0, respond=echo)


def test_after_its_end_nobody_is_heard() -> None:
    server = HealthServer(host="127.0.0.1", port=0, respond=echo)
    server.start()
    port = server.port
    with connected(server) as held:
        server.stop()
        assert rest(held) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_what_was_never_started_can_be_stopped() -> None:
    HealthServer(host="127.0.0.1", port=0, respond=echo).stop()


def write(directory: Path) -> None:
    made = make_leaf(CA, ("controller.test",), now=NOW)
    (directory / "tls.crt").write_text(made.cert_pem)
    (directory / "tls.key").write_text(made.key_pem)


def shown(server: HealthServer) -> tuple[bytes, bytes]:
    """The certificate that a verifying client is shown, and what it is told."""
    context = ssl.create_default_context(cadata=CA.cert_pem)
    with connected(server) as plain_, context.wrap_socket(plain_, server_hostname="controller.test") as connection:
        connection.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        certificate = connection.getpeercert(binary_form=True)
        assert certificate
        return certificate, rest(connection)


@pytest.fixture
def secured(start: Start, tmp_path: Path) -> HealthServer:
    write(tmp_path)
    return start(certificate=CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key"), deadline=2.0)


def test_with_a_certificate_it_speaks_tls(secured: HealthServer) -> None:
    assert shown(secured)[1].endswith(b"/x \n")


def test_a_renewed_certificate_is_shown_from_then_on(secured: HealthServer, tmp_path: Path) -> None:
    before = shown(secured)[0]
    assert shown(secured)[0] == before
    write(tmp_path)
    assert shown(secured)[0] != before


def test_a_client_without_tls_and_one_that_does_not_shake_hands_disturb_nobody(secured: HealthServer) -> None:
    with connected(secured) as silent:
        assert b"200" not in said(secured, b"GET /x HTTP/1.0\r\n\r\n")
        assert shown(secured)[1].endswith(b"/x \n")
        assert rest(silent) == b""


def test_old_tls_is_refused(secured: HealthServer) -> None:
    context = ssl.create_default_context(cadata=CA.cert_pem)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_1
    with connected(secured) as connection, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(connection, server_hostname="controller.test")
