"""A real Envoy on the compiler's configuration, and an ext-proc whose answers are the test's.

In goes one profile's rules and a coroutine that plays ext-proc; out comes a port for plain HTTP requests, and what the upstream
received. The stream is Envoy's own protocol over a unix socket, served by grpcio.
"""

import asyncio
import http.client
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import grpc
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc as stub

from dataplane.access_log import FILE as ACCESS_LOG
from dataplane.clusters import ROOTS_FILE
from dataplane.compile import Options, compile_envoy
from dataplane.external import External
from dataplane.external_settings import ExternalSettings
from dataplane.listeners import DnsCache, socket_address
from dataplane.secrets import Layout
from dataplane.static import static_bootstrap
from e2e.bench.world import free_port
from e2e.support.upstream import Upstream, serve
from groyne.resolver import Resolver
from policy.program import Identity
from unit_tests.dataplane.envoy_process import RunningEnvoy, running_envoy
from unit_tests.dataplane.policies import issued, plan

HOST = "api.test"
PATIENCE = 10.0
Playing = Callable[[AsyncIterator[pb.ProcessingRequest], Any], AsyncIterator[pb.ProcessingResponse]]
"""The messages of one stream, and grpcio's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    port: int
    upstream: Upstream
    envoy: RunningEnvoy
    log: Path

    def ask(self, path: str = "/v1/x", *, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"http://{HOST}:{self.upstream.port}{path}", body=body, headers=named)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def headers_decided(verdict: str = "mutated", **written: str) -> pb.ProcessingResponse:
    """An answer to headers as ext-proc gives it; without a verdict it is none."""
    response = pb.ProcessingResponse()
    response.request_headers.SetInParent()
    for name, value in written.items():
        option = response.request_headers.response.header_mutation.set_headers.add(append_action=2)
        option.header.key, option.header.raw_value = name.replace("_", "-"), value.encode()
    if verdict:
        response.dynamic_metadata.update({"groyne.dev": {"verdict": verdict, "rule": ""}})
    return response


@contextmanager
def rig(directory: Path, playing: Playing, *rules: dict[str, Any], settings: ExternalSettings | None = None) -> Iterator[Rig]:
    """Without rules: one for all requests below /v1/, and others go without ext-proc."""
    made = plan(*(rules or (issued("vault", HOST, paths=[{"type": "Prefix", "value": "/v1/"}]),)))
    socket, port = directory / "external.sock", free_port()
    with serve() as upstream, answering(playing, socket) as resolver:
        options = Options(
            layout=Layout(directory=str(directory)),
            address=socket_address("127.0.0.1", port),
            admin_socket="/unused",
            dns=DnsCache(resolver=resolver, pins=("127.0.0.1",)),
            pinned_ports={HOST: (upstream.port,)},
            external=External(
                address={"pipe": {"path": str(socket)}}, identity=Identity(namespace="agents"), settings=settings or ExternalSettings()
            ),
        )
        (directory / ROOTS_FILE).write_text(Path(certifi.where()).read_text(encoding="ascii"))
        files = compile_envoy(made, {}, (), options).files
        with running_envoy(static_bootstrap(files), log_level="error") as envoy:
            yield Rig(port=port, upstream=upstream, envoy=envoy, log=directory / ACCESS_LOG)


@contextmanager
def answering(playing: Playing, socket: Path) -> Iterator[tuple[str, int]]:
    """Where Envoy asks for names: the host is this machine."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()
    resolving: list[tuple[str, int]] = []

    class Servicer(stub.ExternalProcessorServicer):
        async def Process(self, messages: Any, context: Any) -> AsyncIterator[pb.ProcessingResponse]:  # noqa: N802 - gRPC's name
            async for response in playing(messages, context):
                yield response

    async def serving() -> None:
        server = grpc.aio.server()
        stub.add_ExternalProcessorServicer_to_server(Servicer(), server)
        server.add_insecure_port(f"unix:{socket}")
        await server.start()
        async with Resolver(static={HOST: ("127.0.0.1",)}) as resolver:
            resolving.append(resolver.address)
            ready.set()
            await stop.wait()
        await server.stop(0)

    thread = threading.Thread(target=loop.run_until_complete, args=(serving(),), daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield resolving[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
