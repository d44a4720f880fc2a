"""A world of one's own for `groyne run`: a network without a way out, in which names, addresses and servers are the test's.

Nothing of the machine's network is touched, and public and private addresses can be had alike, so that what Groyne resolves, dials
and refuses is the real thing, without `--resolve`. Groyne runs in it as an ordinary user, even where the suite is root.
"""

import array
import ctypes
import datetime as dt
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from e2e.breakout import wall
from e2e.breakout.recorder import Recorder, listening_context
from e2e.support.pki import Authority, make_authority

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "sockets.py"
NET, NET6 = "192.31.196", "2001:4:112:"
"""Anycast networks of root name servers' helpers: public by every list, and nobody's home."""
ALL_PORTS = (80, 443, 22, 25, 8443)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    name: str
    addresses: tuple[str, ...]
    names: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443)
    certified: tuple[str, ...] = ()
    """What its certificate says, where that is not its names."""


WILD = ("a.wild.ok.test", "a.b.wild.ok.test", "wild.ok.test", "xwild.ok.test")
SERVERS = (
    Server(name="api", addresses=(f"{NET}.10",), names=("api.ok.test", "plain.ok.test"), ports=ALL_PORTS),
    Server(name="pass", addresses=(f"{NET}.11",), names=("pass.ok.test", "free.ok.test"), ports=ALL_PORTS),
    Server(name="wild", addresses=(f"{NET}.12",), names=WILD, certified=(*WILD, "*.wild.ok.test")),
    Server(name="mcp", addresses=(f"{NET}.13",), names=("mcp.ok.test",)),
    Server(name="untrusted", addresses=(f"{NET}.20",), names=("untrusted.ok.test",)),
    Server(name="expired", addresses=(f"{NET}.21",), names=("expired.ok.test",)),
    Server(name="misnamed", addresses=(f"{NET}.22",), names=("misnamed.ok.test",), certified=("ok.test", "*.misnamed.ok.test")),
    Server(name="evil", addresses=(f"{NET}.66", f"{NET6}:66"), names=("evil.test",), ports=ALL_PORTS),
    Server(name="metadata", addresses=("169.254.169.254",), names=("metadata.internal",)),
    Server(name="cluster", addresses=("10.96.0.1",)),
    Server(name="host", addresses=("127.0.0.1", "::1"), ports=(80, 443, 8081, 8082)),
)  # fmt: skip
PRIVATE = ("metadata", "cluster", "host")
HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n169.254.169.254 metadata.machine\n10.96.0.1 kubernetes.machine\n"
"""What the machine's own file says, which no name server is asked about."""


class Sockets:
    """The far end of `sockets.py`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def ask(self, do: str, **more: object) -> tuple[dict, list[int]]:
        self._control.send(json.dumps({"do": do, **more}).encode())
        answer, ancillary, _, _ = self._control.recvmsg(1 << 17, socket.CMSG_LEN(4))
        handed = array.array("i")
        for _, _, content in ancillary:
            handed.frombytes(content)
        if not answer:
            raise EOFError
        return json.loads(answer), list(handed)

    def made(self, do: str, **more: object) -> socket.socket:
        """Raises OSError with the far end's errno."""
        answer, handed = self.ask(do, **more)
        if handed:
            return socket.socket(fileno=handed[0])
        raise OSError(getattr(errno, answer["error"], 0), answer["error"])

    def connect(self, address: str, port: int, *, timeout: float = 5) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return self.made("connect", family=family, kind=socket.SOCK_STREAM, address=[address, port], timeout=timeout)

    def result(self, do: str, **more: object) -> object:
        answer, _ = self.ask(do, **more)
        if "error" in answer:
            raise OSError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        self._control.close()


@dataclass(slots=True, kw_only=True)
class World:
    directory: Path
    authority: Authority
    user: wall.User
    pid: int
    """Of the process that holds the namespaces."""
    sockets: Sockets
    recorder: Recorder

    def rename(self, host: str, *addresses: str) -> None:
        """DNS gives the name these addresses from now on."""
        self.recorder.zone[host.encode()] = addresses

    def enter(self) -> Callable[[], None]:
        """For a child before its exec: into this world, as the ordinary user, and gone when its parent is."""
        libc = ctypes.CDLL(None, use_errno=True)
        ordinary = os.geteuid() != 0
        kinds = (*([("user", 0x10000000)] if ordinary else []), ("net", 0x40000000), ("mnt", 0x20000))
        spaces = [(os.open(f"/proc/{self.pid}/ns/{name}", os.O_RDONLY), kind) for name, kind in kinds]
        uid, home, parent = self.user.uid, str(self.directory / "home"), os.getpid()

        def go() -> None:
            for descriptor, kind in spaces:
                if libc.setns(descriptor, kind) == -1:
                    raise OSError(ctypes.get_errno(), "setns")
            if ordinary:
                _become_ordinary(libc)
            elif uid is not None:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            os.chdir(home)
            libc.prctl(1, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        return go

    def start(self, argv: Sequence[str | Path], **more: Any) -> "subprocess.Popen[bytes]":
        # There is no other way into a namespace without a helper program; what runs before exec is a few system calls.
        return subprocess.Popen(argv, env=self.environment(), preexec_fn=self.enter(), **more)  # noqa: PLW1509

    def environment(self) -> dict[str, str]:
        site = sysconfig.get_path("purelib")
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.directory / "home"), "TMPDIR": str(self.directory / "tmp"), "LANG": "C.UTF-8",
            "PYTHONPATH": os.pathsep.join((*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT), site)), "PYTHONDONTWRITEBYTECODE": "1",
            "GROYNE_ENVOY": os.environ.get("GROYNE_ENVOY") or f"{site}/envoy/_bin/envoy",
        }  # fmt: skip

    def own(self, path: Path) -> Path:
        """Gives a path to the ordinary user."""
        if self.user.uid is not None:
            os.chown(path, self.user.uid, self.user.uid)
        return path


def _become_ordinary(libc: ctypes.CDLL) -> None:
    """Root of the world's user namespace, and nothing more of that: a user like any other in one more namespace."""
    if libc.unshare(0x10000000) == -1:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 0 1"), ("gid_map", "1000 0 1")):
        Path("/proc/self", name).write_text(text)


@cache
def ordinary_user() -> wall.User:
    """The first who can run Groyne from where it is; the suite's own user is the last resort."""
    for user in wall.users():
        if user.uid is None:
            return user
        paths = [str(ROOT), sysconfig.get_path("purelib")]
        said = user.run([user.python, "-c", f"import sys; sys.path[:0] = {paths!r}; import groyne.run"])
        if said.returncode == 0:
            return user
    raise AssertionError("the suite's own user is always among them")


@contextmanager
def world() -> Iterator[World]:
    """Skips where this machine lets nobody have a network of one's own."""
    # Not pytest's directory: only the suite's own user may enter that.
    directory = Path(tempfile.mkdtemp(prefix="groyne-world-"))
    directory.chmod(0o755)
    try:
        with ExitStack() as stack:
            yield _built(directory, stack)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _built(directory: Path, stack: ExitStack) -> World:
    user = ordinary_user()
    files = {name: directory / name for name in ("hosts", "resolv.conf")}
    files["hosts"].write_text(HOSTS)
    files["resolv.conf"].write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    order = {
        "library": str(ROOT), "addresses": [a for server in SERVERS for a in server.addresses if a not in ("127.0.0.1", "::1")],
        "files": {f"/etc/{name}": str(path) for name, path in files.items()},
    }  # fmt: skip
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        holder = stack.enter_context(subprocess.Popen([sys.executable, SCRIPT, json.dumps(order)], stdin=theirs, stderr=subprocess.PIPE))
    stack.callback(ours.close)
    sockets = Sockets(ours)
    try:
        sockets.ask("environ")
    except EOFError:
        assert holder.stderr is not None
        pytest.skip(f"no network of one's own here: {holder.stderr.read().decode()[-300:]}")
    authorities = directory / "authorities"
    authorities.mkdir()
    recorder = Recorder()
    stack.callback(recorder.close)
    made = World(
        directory=directory, authority=make_authority(authorities), user=user, pid=holder.pid, sockets=sockets, recorder=recorder,
    )  # fmt: skip
    for name in ("home", "tmp"):
        (directory / name).mkdir(mode=0o700)
        made.own(directory / name)
    for server in SERVERS:
        _serve(made, server)
    recorder.names(sockets.made("listen", family=socket.AF_INET, kind=socket.SOCK_DGRAM, address=["127.0.0.1", 53]))
    return made


def _serve(made: World, server: Server) -> None:
    for name in server.names:
        made.rename(name, *server.addresses)
    context = listening_context(*map(str, _certificate(made.authority, server)))
    for address in server.addresses:
        for port in server.ports:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                listener = made.sockets.made("listen", family=family, kind=socket.SOCK_STREAM, address=[address, port])
            except OSError:
                if family == socket.AF_INET:
                    raise
                continue  # a kernel without IPv6
            made.recorder.stream(server.name, listener, context)


def _certificate(authority: Authority, server: Server) -> tuple[Path, Path]:
    names = server.certified or server.names or (server.addresses[0],)
    if server.name == "untrusted":
        other = authority.directory / "other"
        other.mkdir()
        authority = make_authority(other, name="Nobody's CA")
    certificate, key = authority.issue(*names)
    if server.name == "expired":
        _expire(authority, certificate)
    return certificate, key


def _expire(authority: Authority, path: Path) -> None:
    good = x509.load_pem_x509_certificate(path.read_bytes())
    before = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    late = x509.CertificateBuilder(good.issuer, good.subject, good.public_key(), good.serial_number, before, before + dt.timedelta(days=1))
    for extension in good.extensions:
        late = late.add_extension(extension.value, extension.critical)
    path.write_bytes(late.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def write(directory: Path, files: Mapping[str, str]) -> None:
    """By rename, as an editor saves."""
    for name, text in files.items():
        new = directory / f".{name}"
        new.write_text(text)
        new.chmod(0o644)
        new.rename(directory / name)
