"""What is not one request and one answer passes through an intercepted host too, with the credential: WebSocket, events, HTTP/2.

Silence is only measured for a few seconds here; that an hour of it is allowed is read in the configuration that Envoy gets.
"""

import base64
import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from e2e.clients import tools
from e2e.clients.harness import HOST, KEY, POLICY, Place, place
from e2e.support import cli
from e2e.support.pki import Authority
from e2e.support.upstream import Answer, Received

PROGRAMS = Path(__file__).parent / "clients" / "programs"
SILENCE = 4.0
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def test_websocket(world: Authority, tmp_path: Path) -> None:
    """The handshake carries the credential, and what follows flows both ways."""
    with place(world, tmp_path, stream=echo_websocket) as somewhere:
        done = somewhere.run([sys.executable, PROGRAMS / "websocket.py", somewhere.upstream.at(HOST), "ahoy", "there"])
        assert done.out.splitlines() == ["HTTP/1.1 101 Switching Protocols", "ahoy", "there"], str(done)
        assert [received.target for received in somewhere.credentialed] == ["/ws"]


def echo_websocket(received: Received, handler: BaseHTTPRequestHandler) -> bool:
    accept = base64.b64encode(hashlib.sha1((received.header("sec-websocket-key") or "").encode() + MAGIC).digest()).decode()  # noqa: S324
    handler.send_response(101)
    for name, value in (("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept)):
        handler.send_header(name, value)
    handler.end_headers()
    while start := handler.rfile.read(2):
        length = start[1] & 0x7F
        mask, text = handler.rfile.read(4), handler.rfile.read(length)
        handler.wfile.write(bytes([start[0], length]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)))
    return True


def test_server_sent_events_after_silence(world: Authority, tmp_path: Path) -> None:
    """Each event arrives when it is sent: nothing holds it back, and silence ends nothing."""
    with place(world, tmp_path, stream=silent_events) as somewhere:
        done = somewhere.run([sys.executable, PROGRAMS / "events.py", f"{somewhere.url}/events"])
        first, second = (line.split() for line in done.out.splitlines())
        assert (first[1], second[1]) == ("one", "two"), str(done)
        assert float(first[0]) < SILENCE / 2
        assert float(second[0]) > SILENCE * 0.8
        assert somewhere.credentialed


def silent_events(_: Received, handler: BaseHTTPRequestHandler) -> bool:
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("connection", "close")
    handler.end_headers()
    handler.wfile.write(b"data: one\n\n")
    handler.wfile.flush()
    time.sleep(SILENCE)  # the silence is what is tested
    handler.wfile.write(b"data: two\n\n")
    handler.close_connection = True
    return True


def test_http2_to_the_host(world: Authority, tmp_path: Path) -> None:
    """A client that speaks HTTP/2 does so with an intercepted host, whatever the server behind speaks."""
    curl = tools.tool("curl")
    with place(world, tmp_path) as somewhere:
        urls = [f"{somewhere.url}/{number}" for number in range(5)]
        done = somewhere.run(
            [curl, "-sS", "--fail", "--http2", "-w", "%{http_version} %{num_connects}\n", *(["-o", "/dev/null"] * 5), *urls]
        )
        versions = [line.split() for line in done.out.splitlines()]
        assert [version for version, _ in versions] == ["2"] * 5, str(done)
        assert sum(int(connects) for _, connects in versions) == 1, "all of them on one connection"
        assert len(somewhere.credentialed) == 5


def test_a_large_answer_and_a_large_question(world: Authority, tmp_path: Path) -> None:
    """Eight megabytes each way pass unbuffered and unchanged."""
    curl, content = tools.tool("curl"), bytes(range(256)) * (1 << 15)
    (tmp_path / "sent").write_bytes(content)
    with place(world, tmp_path, answer=lambda received: Answer(body=received.body)) as somewhere:
        got = tmp_path / "got"
        done = somewhere.run([curl, "-sS", "--fail", "--data-binary", f"@{tmp_path / 'sent'}", "-o", got, f"{somewhere.url}/echo"])
        assert done.code == 0, str(done)
        assert got.read_bytes() == content


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Every JSON document of the configuration for one policy."""
    scratch = tmp_path_factory.mktemp("render")
    (scratch / "policy").mkdir()
    (scratch / "policy" / "policy.yaml").write_text(POLICY)
    done = cli.groyne("render", scratch / "policy", "--out", scratch / "out")
    assert done.code == 0, str(done)
    assert KEY not in "".join(path.read_text() for path in (scratch / "out").rglob("*") if path.is_file())
    return [json.loads(path.read_text()) for path in (scratch / "out").rglob("*.json")]


def found(document: object, key: str) -> list[object]:
    """Every value of `key`, however deep."""
    if isinstance(document, dict):
        return [value for name, value in document.items() if name == key] + [
            each for value in document.values() for each in found(value, key)
        ]
    return [each for value in document for each in found(value, key)] if isinstance(document, list) else []


def test_no_stream_has_a_total_time_out(rendered: list[object]) -> None:
    """Language models are silent for minutes: Envoy's default of 15 s for an answer would cut them off."""
    actions = [action for action in found(rendered, "route") if isinstance(action, dict) and "cluster" in action]
    assert actions
    assert {action["timeout"] for action in actions} == {"0s"}
    assert {action["idle_timeout"] for action in actions} <= {"0s", "3600s"}
    assert set(found(rendered, "stream_idle_timeout")) == {"3600s"}
    assert set(found(rendered, "request_timeout")) == {"0s"}


def test_place_refuses_who_has_no_key(world: Authority, tmp_path: Path) -> None:
    """The control of every test here and in clients/: without the credential the server says 401."""
    with place(world, tmp_path) as somewhere:
        plain = direct(somewhere, world)
    assert b" 401 " in plain


def direct(somewhere: Place, world: Authority) -> bytes:
    import socket  # noqa: PLC0415
    import ssl  # noqa: PLC0415

    context = ssl.create_default_context(cafile=str(world.bundle))
    with context.wrap_socket(socket.create_connection(("127.0.0.1", somewhere.upstream.port), 5), server_hostname=HOST) as secure:
        secure.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return secure.recv(4096)
