"""One Envoy as a sidecar has it, asking one ext-proc process over mutual TLS, in front of a server that answers at once; and a load.

Certificates are those of `controller.compile.workload_certificates`, written as the kubelet writes a Secret's volume: a directory of their
own, and one rename. Requests come as to a forward proxy, in the clear, because what is looked at is the connection behind.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from controller.compile.workload_authorities import Authorities, authorities
from controller.compile.workload_certificates import make_workload
from controller.compile.workload_secrets import ext_proc_id, template_id
from dataplane.certificate_parts import KeyPair
from dataplane.clusters import ROOTS_FILE
from dataplane.compile import Options, compile_envoy, make_plan
from dataplane.external import ClientTls, External
from dataplane.listeners import DnsCache, socket_address
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.secrets import Layout
from e2e.bench.world import LOOPBACK, answering, free_port, models, plain_envoy
from e2e.support.child import ended
from groyne import clock
from groyne.envoy import ADMIN_SOCKET, Envoy, find_envoy
from groyne.resolver import Resolver
from mtls.identity import Purpose
from policy.compile import compile_program
from policy.program import Engine, Identity, Selection

ROOT = Path(__file__).resolve().parents[2]
DOMAIN, TEAM, TEMPLATE, HOST = "cluster.local", "team-a", "coder", "api.test"
SERVER_ID, CLIENT_ID = ext_proc_id(DOMAIN, "groyne-system"), template_id(DOMAIN, TEAM, TEMPLATE)
PATIENCE = 30.0

Json = dict[str, Any]


def policies() -> list[Json]:
    """One rule that Envoy cannot decide alone, and meets every request."""
    head = {"name": TEMPLATE, "namespace": TEAM}
    pod = {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}}
    template = {"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxTemplate", "metadata": head}
    hook = {"name": "log", "when": "false", "webhook": {"url": "https://audit.example/"}}
    changed = {"headerManipulation": {"set": [{"name": "x-judged", "value": "yes"}]}}
    rule = {"name": "judged", "match": [{"domains": [HOST]}], "actions": changed}
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "rules": [rule], "audit": [hook]}
    profile = {"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SecurityProfile", "metadata": {**head, "name": "audited"}, "spec": spec}
    return [{**template, "spec": {"podTemplate": pod}}, profile]


def selection() -> Selection:
    compiled = compile_program(models([policies()[1]]), engines=frozenset(Engine))
    return compiled.program.select(Identity(namespace=TEAM, labels=(("app", "agent"),)))


@dataclass(frozen=True, slots=True)
class Volume:
    """A directory as the kubelet keeps one: what is in it changes by one rename."""

    path: Path

    def put(self, files: Mapping[str, str]) -> None:
        self.path.mkdir(exist_ok=True)
        link = self.path / "..data"
        old = link.resolve() if link.is_symlink() else None
        new = self.path / f"..{time.monotonic_ns()}"
        new.mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
        beside = self.path / "..data_tmp"
        beside.symlink_to(new.name)
        beside.rename(link)
        for name in files:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        if old:
            for each in old.iterdir():
                each.unlink()
            old.rmdir()


def files(pair: KeyPair, trusted: Authorities) -> dict[str, str]:
    return {"tls.crt": pair.cert_pem, "tls.key": pair.key_pem, "ca.crt": trusted.bundle}


@dataclass(slots=True, kw_only=True)
class Rig:
    directory: Path
    proxy: int
    upstream: int
    health: int
    listen: int
    transport: str
    server: Volume
    client: Volume
    trusted: Authorities
    address: str = LOOPBACK
    """Where ext-proc listens."""
    process: "subprocess.Popen[bytes] | None" = None

    def issue(self, *, server: str = SERVER_ID, client: str = CLIENT_ID, trusted: Authorities | None = None) -> None:
        """New certificates for both sides, in their volumes."""
        self.trusted = trusted or self.trusted
        self.show_server(server)
        self.show_client(client)

    def show_server(self, identity: str = SERVER_ID, *, now: datetime | None = None) -> None:
        """`now`: when it was signed."""
        self.server.put(files(make_workload(self.trusted.signing, identity, Purpose.SERVER, now=now or clock.now()), self.trusted))

    def show_client(self, identity: str = CLIENT_ID, *, now: datetime | None = None) -> None:
        self.client.put(files(make_workload(self.trusted.signing, identity, Purpose.CLIENT, now=now or clock.now()), self.trusted))

    def begin(self, *more: str) -> None:
        """ext-proc, from nothing; where there is one, beside it."""
        self.health = free_port()
        flags = {
            "manifests": self.directory / "policies.json",
            "listen": f"[{self.address}]:{self.listen}" if ":" in self.address else f"{self.address}:{self.listen}",
            "transport": self.transport,
            "identity": "certificate",
            "health-host": LOOPBACK,
            "health-port": self.health,
            "grpc-health": "",
            "audit-log": "false",
            "tls-clients": f"spiffe://{DOMAIN}/ns/*/template/*",
            **{f"tls-{flag}": self.server.path / name for flag, name in (("cert", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt"))},
        }
        command = [sys.executable, "-m", "extproc", *(f"--{name}={value}" for name, value in flags.items()), *more]
        with (self.directory / "ext-proc.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def said(self) -> str:
        return (self.directory / "ext-proc.log").read_text()[-4000:]

    def asked(self, path: str) -> str:
        return httpx.get(f"http://{LOOPBACK}:{self.health}{path}", timeout=5, trust_env=False).text

    def metric(self, name: str) -> float:
        """The sum over its labels."""
        lines = (line.rpartition(" ") for line in self.asked("/metrics").splitlines() if line.startswith(name))
        return sum(float(value) for _, _, value in lines)

    async def ready(self) -> None:
        end = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert time.monotonic() < end, self.said()
            await asyncio.sleep(0.05)

    def is_ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return self.asked("/readyz").strip() == "ok"
        return False

    async def until(self, holds: Any, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"{what}\n{self.said()}"
            await asyncio.sleep(0.05)

    async def ask(self) -> int:
        """One request on a connection of its own."""
        found: Counter[Any] = Counter()
        await Client(self.proxy, self.upstream, found).ask_once()
        (status,) = found
        return int(status)

    @asynccontextmanager
    async def load(self, clients: int = 8) -> AsyncIterator[Counter[Any]]:
        """Requests without a pause; what became of each is counted by status, or by the name of the error."""
        found: Counter[Any] = Counter()
        tasks = [asyncio.ensure_future(Client(self.proxy, self.upstream, found).run()) for _ in range(clients)]
        try:
            yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def end(self) -> None:
        if self.process:
            ended(self.process)


class Client:
    """HTTP/1.1 over one connection that is kept."""

    def __init__(self, port: int, upstream: int, found: Counter[Any]) -> None:
        self._port, self._found = port, found
        self._request = f"GET http://{HOST}:{upstream}/ HTTP/1.1\r\nhost: {HOST}:{upstream}\r\n\r\n".encode()

    async def run(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
                try:
                    while True:
                        self._found[await exchanged(self._request, reader, writer)] += 1
                finally:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError) as error:
                self._found[type(error).__name__] += 1

    async def ask_once(self) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._port)
        self._found[await exchanged(self._request, reader, writer)] += 1
        writer.close()


async def exchanged(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    """The status. Raises IncompleteReadError, OSError."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    await reader.readexactly(int(lines.get("content-length", "0")))
    return int(head.split()[1])


@asynccontextmanager
async def running_rig(
    directory: Path, *, transport: str = "h2corn", trusted: Authorities | None = None, address: str = LOOPBACK
) -> AsyncIterator[Rig]:
    upstream, proxy = free_port(), free_port()
    (directory / "policies.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": policies()}))
    rig = Rig(
        directory=directory,
        proxy=proxy,
        upstream=upstream,
        health=0,
        listen=free_port(),
        transport=transport,
        server=Volume(directory / "server"),
        client=Volume(directory / "client"),
        trusted=trusted or authorities({}, DOMAIN, now=clock.now()),
        address=address,
    )
    rig.issue()
    binary = find_envoy({})
    async with AsyncExitStack() as stack:
        resolver = await stack.enter_async_context(Resolver(static={HOST: (LOOPBACK,)}))
        listeners = {"listeners": [answering("plain", upstream)]}
        await stack.enter_async_context(plain_envoy(binary, directory / "upstream", listeners))
        stack.enter_context(beginning(rig))
        await rig.ready()
        sidecar(rig, resolver.address)
        envoy = await Envoy.start(binary, directory / "sidecar", concurrency=1)
        stack.push_async_callback(envoy.stop)
        yield rig


@contextmanager
def beginning(rig: Rig) -> Iterator[None]:
    rig.begin()
    try:
        yield
    finally:
        rig.end()


def sidecar(rig: Rig, resolver: tuple[str, int]) -> None:
    directory = rig.directory / "sidecar"
    directory.mkdir()
    (directory / ROOTS_FILE).write_text(rig.trusted.bundle)
    (directory / "access.log").touch()
    tls = ClientTls(server_id=SERVER_ID, directory=str(rig.client.path))
    options = Options(
        layout=Layout(directory=str(directory)),
        address=socket_address(LOOPBACK, rig.proxy),
        admin_socket=str(directory / ADMIN_SOCKET),
        dns=DnsCache(resolver=resolver, refused=NOT_PUBLIC_RANGES, pins=(LOOPBACK,)),
        pinned_ports={HOST: (rig.upstream,)},
        external=External(address=socket_address(rig.address, rig.listen), tls=tls),
    )
    for name, text in compile_envoy(make_plan(selection()), {}, (), options).files.items():
        (directory / name).write_text(text)
