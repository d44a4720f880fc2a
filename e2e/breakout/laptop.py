"""One `groyne run` in a world, and attempts against it, each judged by all observers at once.

An attempt is a function of the laptop that returns what the client saw. `refused` and `allowed` say what must be true of it then:
the answer, what the servers recorded, and the audit file. In the end `leaks` searches whatever anybody wrote or received.
"""

import base64
import itertools
import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.breakout import raw
from e2e.breakout.raw import Seen, Stream
from e2e.breakout.recorder import Visit, arrived
from e2e.breakout.world import PRIVATE, SCRIPT, Sockets, World, write

Record = dict[str, object]
SENTINEL = "sentinel-"
_numbers = itertools.count()


@dataclass(slots=True, kw_only=True)
class Laptop:
    world: World
    policy: Path
    process: subprocess.Popen[bytes]
    inside: Sockets
    audit: Path
    said: Path
    canary: str
    isolated: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def bundle(self) -> Path:
        return Path(self.environment["SSL_CERT_FILE"])

    def proxy(self) -> Stream:
        address = urllib.parse.urlsplit(self.environment["HTTPS_PROXY"])
        return Stream(self.inside.connect(str(address.hostname), address.port or 0))

    def plain(self, data: bytes, *, to_head: bool = False) -> Seen:
        """One request in the clear, absolute form or not; the first answer."""
        stream = self.proxy()
        seen = stream.send(data).answer(to_head=to_head)
        stream.close()
        return seen

    def tunnel(self, authority: str) -> tuple[Stream, Seen]:
        stream = self.proxy()
        return stream, stream.send(raw.connect_request(authority)).answer()

    def connect(self, authority: str) -> Seen:
        stream, seen = self.tunnel(authority)
        stream.close()
        return seen

    def through(self, authority: str, data: bytes, *, patience: float = raw.PATIENCE) -> Seen:
        """Bytes of any kind inside a tunnel; what comes back before it ends or falls silent."""
        stream, seen = self.tunnel(authority)
        if seen.status == 200:
            seen = stream.send(data).rest(patience=patience)
        stream.close()
        return seen

    def tls(self, authority: str, sni: str | None, data: bytes, *, verify: bool = True, alpn: str = "http/1.1") -> Seen:
        """HTTP inside TLS inside a tunnel."""
        stream, seen = self.tunnel(authority)
        if seen.status != 200:
            stream.close()
            return seen
        try:
            secured = raw.secure(stream.socket, self.context(alpn, verify=verify), sni)
        except OSError as error:
            stream.close()
            return Seen(ended=f"handshake: {getattr(error, 'reason', None) or error}")
        inner = Stream(secured)
        seen = inner.send(data).answer()
        inner.close()
        return seen

    def context(self, *alpn: str, verify: bool = True) -> ssl.SSLContext:
        return raw.client_context(self.bundle, *alpn, verify=verify)

    def records(self) -> list[Record]:
        found = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [record for record in found if not str(record["host"]).startswith(SENTINEL)]

    def settle(self) -> None:
        """Until all that has happened so far is in the audit file: Envoy writes its log in order."""
        name = f"{SENTINEL}{next(_numbers)}.test"
        self.plain(raw.request(f"http://{name}/", name))
        wait_until(lambda: f'"host":"{name}"' in self.audit.read_text())

    def mark(self) -> "Mark":
        return Mark(records=len(self.records()), visits=[len(visit.raw) for visit in self.world.recorder.visits])

    def since(self, mark: "Mark") -> "Happened":
        self.settle()
        return Happened(records=self.records()[mark.records :], visits=arrived(self.world.recorder.visits, mark.visits))

    def edit(self, files: Mapping[str, str]) -> None:
        write(self.policy, files)

    def stop(self) -> str:
        """Ends the command; what Groyne said while it ran."""
        self.inside.close()
        self.process.wait(20)
        return self.said.read_text(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    records: int
    visits: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What an attempt left behind."""

    records: list[Record]
    visits: list[Visit]

    def at(self, server: str) -> list[Visit]:
        return [visit for visit in self.visits if visit.server == server]


Attempt = Callable[[Laptop], Seen]


def refused(laptop: Laptop, attempt: Attempt, *statuses: int) -> Record:
    """The client got one of these statuses (0: an end without an answer), nothing arrived anywhere, and the audit says so once."""
    (record,) = refused_each(laptop, {"attempt": attempt}, *statuses)
    return record


def refused_each(laptop: Laptop, attempts: Mapping[str, Attempt], *statuses: int) -> list[Record]:
    """`refused` for a family, one after the other, with one look at the audit in the end."""
    mark = laptop.mark()
    seen = {}
    for name, attempt in attempts.items():
        seen[name] = attempt(laptop)
        assert seen[name].status in (statuses or (403,)), (name, str(seen[name]))
    return _refused(laptop, mark, seen)


def refused_inside(laptop: Laptop, tunnels: Mapping[str, tuple[str, bytes]]) -> list[Record]:
    """`refused` for bytes inside tunnels that are opened: all at once, because Envoy takes a second to let go of such a client."""
    mark = laptop.mark()
    streams = {}
    for name, (authority, data) in tunnels.items():
        streams[name], opened = laptop.tunnel(authority)
        assert opened.status == 200, (name, str(opened))
        streams[name].send(data)
    seen = {name: stream.rest() for name, stream in streams.items()}
    for name, stream in streams.items():
        stream.close()
        assert stream.ended in ("closed", "reset"), (name, str(seen[name]))
    return _refused(laptop, mark, seen)


def _refused(laptop: Laptop, mark: Mark, seen: Mapping[str, Seen]) -> list[Record]:
    happened = laptop.since(mark)
    assert not happened.visits, (list(seen), happened.visits)
    assert len(happened.records) == len(seen), ({name: str(each) for name, each in seen.items()}, happened.records)
    for record in happened.records:
        assert record["verdict"] == "blocked", record
        assert record["rules"] or record["reason"], record
    return happened.records


def allowed(laptop: Laptop, attempt: Attempt, server: str) -> Visit:
    """The control: the plain form arrives, at this server only."""
    mark = laptop.mark()
    seen = attempt(laptop)
    happened = laptop.since(mark)
    assert seen.status == 200, (str(seen), happened.records)
    assert {visit.server for visit in happened.visits} == {server}, happened.visits
    assert happened.records, seen
    assert all(record["verdict"] != "blocked" for record in happened.records), happened.records
    return happened.visits[-1]


def wait_until(condition: Callable[[], bool], *, patience: float = 10) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def canary() -> str:
    return f"CANARY-{secrets.token_hex(12)}"


@contextmanager
def laptop(made: World, name: str, files: Mapping[str, str], token: str, *options: str) -> Iterator[Laptop]:
    """With the wall where this machine allows one."""
    policy = made.own(_directory(made.directory / name))
    write(policy, files)
    paths = {kind: made.directory / f"{name}.{kind}" for kind in ("audit", "said")}
    paths["audit"].touch()
    made.own(paths["audit"])
    with ExitStack() as stack:
        running = _start(made, stack, policy, paths, token, options)
        if running is None:
            running = _start(made, stack, policy, paths, token, (*options, "--no-isolate"))
        assert running is not None, paths["said"].read_text()
        stack.callback(running.stop)
        yield running


def _directory(path: Path) -> Path:
    path.mkdir(mode=0o755)
    return path


def _start(made: World, stack: ExitStack, policy: Path, paths: Mapping[str, Path], token: str, options: tuple[str, ...]) -> Laptop | None:
    """None where there is no wall to be had."""
    python = made.user.python
    argv = [
        python, "-m", "groyne", "run", policy, "--upstream-ca", made.authority.bundle, "--audit", paths["audit"], *options,
        "--", python, "-I", "-S", SCRIPT,
    ]  # fmt: skip
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, paths["said"].open("ab") as said:
        process = made.start(argv, stdin=theirs, stdout=said, stderr=said)
    stack.callback(process.wait)
    stack.callback(process.kill)
    inside = Sockets(ours)
    try:
        environment, _ = inside.ask("environ")
    except (EOFError, OSError):
        text = paths["said"].read_text(errors="replace")
        assert "--no-isolate" in text, text
        return None
    return Laptop(
        world=made, policy=policy, process=process, inside=inside, audit=paths["audit"], said=paths["said"], canary=token,
        isolated="--no-isolate" not in options, environment=environment["result"],
    )  # fmt: skip


def spellings(token: str) -> dict[str, bytes]:
    """How a credential may be written down, also in the middle of something encoded."""
    text = token.encode()
    found = {"plain": text, "hexadecimal": text.hex().encode(), "percent": b"".join(b"%%%02X" % byte for byte in text)}
    for skip in range(3):
        encoded = base64.b64encode(b"x" * skip + text)
        found[f"base64, shifted by {skip}"] = encoded[(0, 2, 3)[skip] : -4]
    return found


def leaks(running: Laptop) -> list[str]:
    """Where the credential is found, of all places where it must not be."""
    places = {"audit": running.audit.read_bytes(), "output": running.said.read_bytes(), "received by clients": bytes(raw.everything)}
    for path in (running.world.directory / "tmp").rglob("*"):
        if path.is_file() and path.suffix in (".log", ".pem", ".p12"):
            places[path.name] = path.read_bytes()
    for visit in running.world.recorder.visits:
        if visit.server != "api":
            places[f"received by {visit.server}"] = places.get(f"received by {visit.server}", b"") + bytes(visit.raw)
    return [f"{kind} in {place}" for place, text in places.items() for kind, form in spellings(running.canary).items() if form in text]


def visits_to_private_places(running: Laptop) -> list[Visit]:
    return [visit for visit in running.world.recorder.visits if visit.server in PRIVATE]
