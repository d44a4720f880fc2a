"""Edits while it runs: on connections that are open already, within a second, and never half."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from e2e.support.pki import Authority
from e2e.support.serving import Serving, serving
from e2e.support.upstream import Upstream, serve

API, OTHER = "api.ok.test", "other.ok.test"

SECRET = """\
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: "{value}"}}
"""

RULES = """\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {{name: edited}}
spec:
  selector: {{}}
  rules:
  - name: refused
    match: [{{domains: ["{host}"]{more}}}]
    actions: {{block: {{statusCode: {status}, body: "as edited"}}}}
  - name: credential
    match: [{{domains: ["api.ok.test"]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: key}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
"""


def rules(*, host: str = API, path: str | None = "/admin", status: int = 451) -> str:
    return RULES.format(host=host, status=status, more=f", paths: [{{type: Prefix, value: {path}}}]" if path else "")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    directory = tmp_path / "policy"
    directory.mkdir()
    (directory / "rules.yaml").write_text(rules())
    (directory / "secret.yaml").write_text(SECRET.format(value="first-value-0001"))
    return directory


@pytest.fixture
def upstream(world: Authority) -> Iterator[Upstream]:
    with serve(certificates=world, hosts=(API, OTHER)) as running:
        yield running


@contextmanager
def run(policy: Path, upstream: Upstream, world: Authority) -> Iterator[Serving]:
    with serving(policy, resolve=upstream.resolve(API, OTHER), upstream_ca=world.bundle) as running:
        yield running


def tunnel(running: Serving, host: str, port: int) -> socket.socket:
    connection = socket.create_connection(running.address, timeout=10)
    connection.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(4096)
    assert b" 200 " in head.split(b"\r\n")[0], head
    return connection


def secured(running: Serving, world: Authority, host: str, port: int, alpn: str = "http/1.1") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(running.authority))
    context.load_verify_locations(str(world.bundle))
    context.set_alpn_protocols([alpn])
    return context.wrap_socket(tunnel(running, host, port), server_hostname=host)


class Kept:
    """One kept-alive HTTP/1.1 connection inside one tunnel."""

    def __init__(self, connection: ssl.SSLSocket, host: str) -> None:
        self._client = http.client.HTTPConnection(host)
        self._client.sock = connection
        self._client.auto_open = 0

    def get(self, path: str) -> tuple[int, bytes]:
        self._client.request("GET", path)
        answer = self._client.getresponse()
        return answer.status, answer.read()


def until(what: Callable[[], bool], limit: float) -> float:
    """How long it took. Asks again and again: what is awaited happens in another process, behind a network."""
    start = time.monotonic()
    while not what():
        assert time.monotonic() - start < limit, f"not within {limit} s"
        time.sleep(0.01)
    return time.monotonic() - start


def test_the_next_request_on_a_kept_alive_connection_obeys_an_edit_within_a_second(
    policy: Path, upstream: Upstream, world: Authority
) -> None:
    with run(policy, upstream, world) as running:
        kept = Kept(secured(running, world, API, upstream.port), f"{API}:{upstream.port}")
        assert [kept.get("/admin")[0], kept.get("/v1")[0]] == [451, 200]
        (policy / "rules.yaml").write_text(rules(path="/v1", status=452))
        until(lambda: kept.get("/v1")[0] == 452, 1.0)
        assert kept.get("/admin")[0] == 200


def test_the_next_stream_of_an_open_http2_connection_obeys_an_edit(policy: Path, upstream: Upstream, world: Authority) -> None:
    with run(policy, upstream, world) as running:
        client = Http2(secured(running, world, API, upstream.port, "h2"), f"{API}:{upstream.port}")
        assert [client.status("/admin"), client.status("/v1")] == ["451", "200"]
        (policy / "rules.yaml").write_text(rules(path="/v1", status=452))
        until(lambda: client.status("/v1") == "452", 1.0)
        assert client.status("/admin") == "200"


def test_a_tunnel_to_a_host_that_is_blocked_now_is_closed_and_others_go_on(policy: Path, upstream: Upstream, world: Authority) -> None:
    with run(policy, upstream, world) as running:
        doomed = secured(running, world, OTHER, upstream.port)
        spared = Kept(secured(running, world, API, upstream.port), f"{API}:{upstream.port}")
        assert spared.get("/v1")[0] == 200
        (policy / "rules.yaml").write_text(rules(host=OTHER, path=None))
        doomed.settimeout(5)
        with suppress(ConnectionResetError, ssl.SSLError):
            assert doomed.recv(1) == b""
        assert spared.get("/v1")[0] == 200


def test_an_end_to_end_tunnel_is_closed_when_its_host_is_intercepted_now(policy: Path, upstream: Upstream, world: Authority) -> None:
    """Or its requests would go on unjudged."""
    with run(policy, upstream, world) as running:
        before = secured(running, world, OTHER, upstream.port)
        (policy / "rules.yaml").write_text(rules(host=OTHER, path="/admin"))
        before.settimeout(5)
        with suppress(ConnectionResetError, ssl.SSLError):
            assert before.recv(1) == b""
        after = Kept(secured(running, world, OTHER, upstream.port), f"{OTHER}:{upstream.port}")
        until(lambda: after.get("/admin")[0] == 451, 1.0)


def test_a_broken_edit_is_reported_with_file_and_line_and_the_last_good_policy_stays(
    policy: Path, upstream: Upstream, world: Authority
) -> None:
    with run(policy, upstream, world) as running:
        kept = Kept(secured(running, world, API, upstream.port), f"{API}:{upstream.port}")
        (policy / "rules.yaml").write_text(rules().replace("domains", "domainz", 1))
        assert "rules.yaml:8:" in running.wait_for("domainz")
        running.wait_for("keeps its last good version")
        assert kept.get("/admin")[0] == 451
        (policy / "rules.yaml").write_text("{" + rules())
        running.wait_for("rules.yaml:")
        assert kept.get("/admin")[0] == 451


def test_a_rotated_credential_is_used_at_once_and_a_removed_one_never_again(policy: Path, upstream: Upstream, world: Authority) -> None:
    with run(policy, upstream, world) as running:
        kept = Kept(secured(running, world, API, upstream.port), f"{API}:{upstream.port}")

        def sent() -> str | None:
            kept.get("/v1")
            return upstream.received[-1].header("authorization")

        assert sent() == "Bearer first-value-0001"
        (policy / "secret.yaml").write_text(SECRET.format(value="second-value-0002"))
        until(lambda: sent() == "Bearer second-value-0002", 1.0)
        (policy / "secret.yaml").unlink()
        until(lambda: kept.get("/v1")[0] == 503, 1.0)
        seen = len(upstream.received)
        assert kept.get("/v1")[0] == 503
        assert len(upstream.received) == seen
        (policy / "secret.yaml").write_text(SECRET.format(value="third-value-0003"))
        until(lambda: sent() == "Bearer third-value-0003", 2.0)


class Http2:
    """One HTTP/2 connection; streams one after the other."""

    def __init__(self, connection: ssl.SSLSocket, authority: str) -> None:
        assert connection.selected_alpn_protocol() == "h2"
        self._socket, self._authority = connection, authority
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._flush()

    def status(self, path: str) -> str:
        stream = self._h2.get_next_available_stream_id()
        headers = [(":method", "GET"), (":scheme", "https"), (":authority", self._authority), (":path", path)]
        self._h2.send_headers(stream, headers, end_stream=True)
        self._flush()
        found = ""
        while True:
            for event in self._h2.receive_data(self._socket.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream:
                    found = {_text(name): _text(value) for name, value in event.headers}[":status"]
                if isinstance(event, h2.events.StreamEnded | h2.events.StreamReset) and event.stream_id == stream:
                    self._flush()
                    return found
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
