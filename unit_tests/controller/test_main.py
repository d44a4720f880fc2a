"""The process as an operator meets it: what it says when it cannot begin, and what it answers while the API server is away."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

TOKEN = "hunter2hunter2"
NOBODY = 9
"""The port of a service that nobody runs any more."""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    written = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{NOBODY}"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(written))
    return file


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if not name.startswith("GROYNE_")}, **more}


def ended(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller", *arguments]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False)


def test_wrong_settings_are_lines_for_people_and_exit_code_2() -> None:
    found = ended("--opt-in", "labels", GROYNE_WORKERS="many")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "GROYNE_WORKERS: must be a whole number",
        "--opt-in: must be one of label, all: did you mean `label`?",
    ]
    assert found.stdout == ""


def test_a_lease_too_short_for_a_call_is_a_line_with_the_flag_s_name_and_exit_code_2() -> None:
    found = ended("--lease-duration", "8", "--lease-renew-deadline", "5")
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "--lease-duration" in line
    assert "call" in line


def test_a_port_that_is_taken_is_said_and_exit_code_2(kubeconfig: Path) -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        found = ended("--kubeconfig", str(kubeconfig), "--health-host", "0.0.0.0", "--health-port", str(port), GROYNE_WORKRES="1")
    said = [json.loads(line) for line in found.stderr.splitlines()]
    assert found.returncode == 2
    assert [line["level"] for line in said] == ["warning", "error"]
    assert "GROYNE_WORKRES" in said[0]["msg"]
    assert said[1]["msg"].endswith(f"health-host, health-port: cannot listen on `0.0.0.0`, port {port}: Address already in use")


@pytest.fixture
def running(kubeconfig: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Until it has met the API server's absence once."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "controller", "--kubeconfig", str(kubeconfig), "--health-port", str(port)]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        yield process, port
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_without_an_api_server_it_is_alive_not_ready_and_ends_when_told(running: tuple[subprocess.Popen[str], int]) -> None:
    process, port = running
    assert process.stderr
    first = process.stderr.readline()
    assert get(port, "/healthz") == (200, "ok")
    status, body = get(port, "/readyz")
    assert status == 503
    assert "[+]loop ok" in body
    assert "[-]informers failed: not synced" in body
    assert "groyne_build_info" in get(port, "/metrics")[1]
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 0
    assert all(json.loads(line)["level"] in {"info", "warning"} for line in (first + rest).splitlines())
    assert TOKEN not in first + rest
