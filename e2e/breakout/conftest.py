"""The world that attempts are made against: a secret, services, sockets and processes of the host, for each user."""

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.breakout.wall import User, Wall, copy_library, unsupported, users

SECRET = "CANARY-7d1f"


class Services:
    """Sockets of the host that answer `reached`, and count who came."""

    def __init__(self) -> None:
        self.visits = 0
        self._open: list[socket.socket] = []

    def add(self, family: socket.AddressFamily, address: object, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        server = socket.socket(family, kind)
        server.bind(address)
        self._open.append(server)
        if kind == socket.SOCK_STREAM:
            server.listen()
        threading.Thread(target=self._serve if kind == socket.SOCK_STREAM else self._answer, args=(server,), daemon=True).start()
        return server

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            self.visits += 1
            with client:
                client.recv(100)
                client.send(b"reached")

    def _answer(self, server: socket.socket) -> None:
        while True:
            try:
                _, sender = server.recvfrom(100)
            except OSError:
                return
            self.visits += 1
            if sender:
                server.sendto(b"reached", sender)

    def close(self) -> None:
        for server in self._open:
            server.shutdown(socket.SHUT_RDWR) if server.type == socket.SOCK_STREAM else None
            server.close()


@pytest.fixture(scope="session", params=users(), ids=lambda user: user.name)
def user(request: pytest.FixtureRequest) -> User:
    return request.param


@pytest.fixture(scope="session")
def wall(user: User) -> Iterator[Wall]:
    base = Path(tempfile.mkdtemp(prefix="groyne-breakout-"))
    base.chmod(0o755)
    try:
        library = copy_library(base / "library")
        if reason := unsupported(user, library):
            pytest.skip(f"{user.name} cannot isolate here: {reason}")
        with ExitStack() as stack:
            yield _build(stack, Wall(user=user, home=base / "home", library=library), base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _build(stack: ExitStack, wall: Wall, base: Path) -> Wall:
    secrets = base / "secrets"
    for directory in (wall.home, secrets, secrets / "run", base / "policies", base / "sockets", base / "mixed"):
        directory.mkdir()
    for file in (secrets / "token", secrets / "run" / "sds.yaml", base / "policies" / "profile.yaml", base / "mixed" / "notes"):
        file.write_text(SECRET)
    for path in (base, *base.rglob("*")):
        if wall.user.uid is not None and "library" not in path.parts:
            os.chown(path, wall.user.uid, wall.user.uid)
    victim = stack.enter_context(_victim(wall.user))
    stack.callback(victim.kill)
    wall.world = {
        "base": str(base), "secret": str(secrets / "token"), "run_directory": str(secrets / "run"), "text": SECRET,
        "policies": str(base / "policies"), "victim": victim.pid, "suite": os.getpid(),
    }  # fmt: skip
    return wall


def _victim(user: User) -> subprocess.Popen[bytes]:
    """A process of the same user outside, with a secret in its environment and in its memory."""
    script = "import sys, time; kept = sys.argv[1]; print('up', flush=True); time.sleep(600)"
    argv = [user.python, "-I", "-S", "-c", script, SECRET]
    process = subprocess.Popen(argv, env={"TOKEN": SECRET}, stdout=subprocess.PIPE, **user.identity())
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.fixture(scope="session")
def services(wall: Wall) -> Iterator[Services]:
    """One of each kind that a host has, some of them where tools really put them."""
    made = Services()
    base = Path(str(wall.world["base"]))
    wall.world["tcp4"] = made.add(socket.AF_INET, ("127.0.0.1", 0)).getsockname()[1]
    wall.world["tcp6"] = made.add(socket.AF_INET6, ("::1", 0)).getsockname()[1]
    wall.world["udp4"] = made.add(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM).getsockname()[1]
    wall.world["abstract"] = f"groyne-{os.getpid()}-{wall.user.name}"
    made.add(socket.AF_UNIX, f"\0{wall.world['abstract']}")
    for name, path in {"own": base / "sockets/agent.1", "mixed": base / "mixed/app.sock", "here": wall.home / "dev.sock"}.items():
        made.add(socket.AF_UNIX, str(path))
        path.chmod(0o777)
        wall.world[f"{name}_socket"] = str(path)
    wall.world["renamed_socket"] = str(_renamed(made, base / "mixed"))
    wall.world["relative_socket"] = str(_relative(made, base / "mixed"))
    wall.world["datagram_socket"] = str(base / "mixed/log")
    made.add(socket.AF_UNIX, str(base / "mixed/log"), socket.SOCK_DGRAM)
    (base / "mixed/log").chmod(0o777)
    yield made
    made.close()


def _renamed(services: Services, directory: Path) -> Path:
    """As ssh does with its control sockets: bound under one name, used under another."""
    services.add(socket.AF_UNIX, str(directory / "control.XyZ"))
    (directory / "control.XyZ").rename(directory / "control")
    (directory / "control").chmod(0o777)
    return directory / "control"


def _relative(services: Services, directory: Path) -> Path:
    before = Path.cwd()
    os.chdir(directory)
    try:
        services.add(socket.AF_UNIX, "relative.sock")
        (directory / "relative.sock").chmod(0o777)
    finally:
        os.chdir(before)
    return directory / "relative.sock"
