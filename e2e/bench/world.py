"""What the load goes through: a fast upstream, and one Envoy with one worker for each scenario, all at once and mostly idle.

Proxies are what `groyne run` starts: the same compiler, listener, resolver, pins, certificates and access log, only on a TCP
port. The upstream and the tunnel client are plain Envoys: the first answers by itself, the second opens a CONNECT for each of
wrk's connections, which cannot do that.
"""

import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crds import GlobalSecurityProfile, SecurityProfile, parse
from dataplane.access_log import FILE as ACCESS_LOG
from dataplane.clusters import ROOTS_FILE
from dataplane.compile import Options, compile_envoy, make_plan
from dataplane.external import External
from dataplane.listeners import DnsCache, socket_address
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.secrets import Layout
from dataplane.xds import HTTP, NETWORK, Resource, extension
from e2e.bench.external import running_external
from e2e.bench.policies import HOST, TOKEN, Raw, Scenario
from e2e.support.pki import Authority, make_authority
from groyne import clock
from groyne.envoy import ADMIN_SOCKET, Envoy, find_envoy
from groyne.resolver import Resolver
from groyne.trust import NO_HOST, Trust
from policy.compile import compile_program
from policy.program import Engine, Identity, SecretKeyRef, Selection

LOOPBACK = "127.0.0.1"
BODY = json.dumps({"items": [{"id": n, "name": f"item {n}"} for n in range(20)]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    plain: int
    tls: int

    def port(self, *, tls: bool) -> int:
        return self.tls if tls else self.plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """`dial` is where wrk connects: the proxy, or the tunnel client in front of it. `processes` are Envoy, and ext-proc where it is."""

    scenario: Scenario
    dial: int
    processes: tuple[int, ...]
    log: Path
    started_ms: float

    def cpu_seconds(self) -> float:
        stats = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in self.processes]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        lines = [line for process in self.processes for line in Path(f"/proc/{process}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    directory: Path
    binary: Path
    authority: Authority
    upstream: Upstream
    resolver: tuple[str, int]


def free_port() -> int:
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def running_world(directory: Path) -> AsyncIterator[World]:
    authority = make_authority(directory)
    upstream = Upstream(plain=free_port(), tls=free_port())
    binary = find_envoy(os.environ)
    async with AsyncExitStack() as stack:
        resolver = await stack.enter_async_context(Resolver(static={HOST: (LOOPBACK,)}))
        await stack.enter_async_context(plain_envoy(binary, directory / "upstream", upstream_bootstrap(upstream, authority)))
        yield World(directory=directory, binary=binary, authority=authority, upstream=upstream, resolver=resolver.address)


@asynccontextmanager
async def running_proxy(scenario: Scenario, world: World) -> AsyncIterator[Proxy]:
    directory, port = world.directory / scenario.name, free_port()
    directory.mkdir()
    async with AsyncExitStack() as stack:
        beside = await stack.enter_async_context(running_external(scenario, directory)) if scenario.transport else None
        write_configuration(selected(scenario.profiles), directory, world, port, beside.external if beside else None)
        before = time.perf_counter()
        envoy = await Envoy.start(world.binary, directory, concurrency=1)
        stack.push_async_callback(envoy.stop)
        started = (time.perf_counter() - before) * 1000
        dial = port
        if scenario.tls:
            dial = free_port()
            tunnel = tunnel_bootstrap(dial, port, f"{HOST}:{world.upstream.tls}")
            await stack.enter_async_context(plain_envoy(world.binary, directory / "tunnel", tunnel))
        log = directory / ACCESS_LOG
        yield Proxy(
            scenario=scenario, dial=dial, processes=(envoy.process.pid, *([beside.process] if beside else [])), log=log, started_ms=started
        )


def selected(raws: tuple[Raw, ...]) -> Selection:
    compiled = compile_program(models(raws), engines=frozenset(Engine))
    fatal = [problem for problems in compiled.problems.values() for problem in problems if problem.fatal]
    if fatal:
        raise ValueError(f"a benchmark's own policy is refused: {fatal[0]}")
    return compiled.program.select(Identity())


def models(raws: tuple[Raw, ...] | list[Raw]) -> list[SecurityProfile | GlobalSecurityProfile]:
    found = []
    for raw in raws:
        parsed = parse(raw)
        if not isinstance(parsed.object, SecurityProfile | GlobalSecurityProfile):
            raise TypeError(f"a benchmark's own policy is refused: {parsed.problems}")
        found.append(parsed.object)
    return found


def tokens(selection: Selection) -> dict[SecretKeyRef, str]:
    return {selection.secret_ref(rule.token.secret): TOKEN for rule in selection.rules if rule.token}


def options(directory: Path, port: int, *, resolver: tuple[str, int], pinned: tuple[int, ...], external: External | None = None) -> Options:
    return Options(
        layout=Layout(directory=str(directory)),
        address=socket_address(LOOPBACK, port),
        admin_socket=str(directory / ADMIN_SOCKET),
        dns=DnsCache(resolver=resolver, refused=NOT_PUBLIC_RANGES, pins=("127.0.0.1",)),
        pinned_ports={HOST: pinned},
        external=external,
    )


def write_configuration(selection: Selection, directory: Path, world: World, port: int, external: External | None = None) -> None:
    plan = make_plan(selection)
    leafs = Trust.fresh(clock.now()).leafs(plan.intercepted_names or NO_HOST, clock.now())
    pinned = (world.upstream.plain, world.upstream.tls)
    chosen = options(directory, port, resolver=world.resolver, pinned=pinned, external=external)
    (directory / ROOTS_FILE).write_text(world.authority.bundle.read_text())
    (directory / ACCESS_LOG).touch(mode=0o600)
    for name, text in compile_envoy(plan, tokens(selection), leafs, chosen).files.items():
        (directory / name).write_text(text)


@asynccontextmanager
async def plain_envoy(binary: Path, directory: Path, static: Resource) -> AsyncIterator[None]:
    directory.mkdir()  # noqa: ASYNC240 - nothing else runs yet
    admin = {"address": {"pipe": {"path": str(directory / ADMIN_SOCKET)}}}
    (directory / "bootstrap.json").write_text(json.dumps({"admin": admin, "static_resources": static}))
    envoy = await Envoy.start(binary, directory, concurrency=1)
    try:
        yield
    finally:
        await envoy.stop()


def upstream_bootstrap(upstream: Upstream, authority: Authority) -> Resource:
    certificate, key = authority.issue(HOST)
    pair = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    context = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    tls = extension("tls", context, common_tls_context={"tls_certificates": [pair]})
    return {"listeners": [answering("plain", upstream.plain), answering("tls", upstream.tls, transport_socket=tls)]}


def answering(name: str, port: int, **chain: Any) -> Resource:
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": BODY}}}
    manager = extension(
        NETWORK + "http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[extension(HTTP + "router", "envoy.extensions.filters.http.router.v3.Router")],
        generate_request_id=False,
    )
    return {"name": name, "address": socket_address(LOOPBACK, port), "filter_chains": [{"filters": [manager], **chain}]}


def tunnel_bootstrap(port: int, proxy: int, target: str) -> Resource:
    """Every connection to `port` becomes a CONNECT to `target` through the proxy."""
    kind = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
    onward = extension(NETWORK + "tcp_proxy", kind, stat_prefix="tunnel", cluster="proxy", tunneling_config={"hostname": target})
    endpoint = {"endpoint": {"address": socket_address(LOOPBACK, proxy)}}
    cluster = {"name": "proxy", "load_assignment": {"cluster_name": "proxy", "endpoints": [{"lb_endpoints": [endpoint]}]}}
    listener = {"name": "tunnel", "address": socket_address(LOOPBACK, port), "filter_chains": [{"filters": [onward]}]}
    return {"listeners": [listener], "clusters": [cluster]}
