"""The stream served by grpcio, the reference implementation; and health and reflection, which it serves for every transport.

The method is registered without types: messages stay bytes until `messages` reads them, so that both transports drive streams
through the same code. A certificate that is exchanged counts from the next handshake on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dataplane.external_protocol import IDENTITY_HEADER
from extproc.edge.driver import Desk, Gone, drive
from extproc.edge.messages import Unreadable
from extproc.edge.protocol import LONGEST, METHOD, SERVICE, STREAMS
from extproc.identity import Peer
from kube.failures import where
from mtls.grpc_edge import SpiffeInterceptor, caller, server_credentials
from mtls.keeper import Keeper
from mtls.spiffe import Peers

OPTIONS = (
    ("grpc.max_receive_message_length", LONGEST),
    ("grpc.max_concurrent_streams", STREAMS),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.so_reuseport", 1),
)

log = logging.getLogger(__name__)


class GrpcioServer:
    """`bind` is `host:port` or `unix:path`. `peers` are the clients that may speak, by their certificates."""

    def __init__(
        self, desk: Desk, *, bind: str, drain: float, metadata: bool = False, keeper: Keeper | None = None, peers: Peers | None = None
    ) -> None:
        self._desk, self._bind, self._drain, self._metadata, self._keeper = desk, bind, drain, metadata, keeper
        interceptors = [SpiffeInterceptor(keeper, peers)] if keeper and peers else []
        self._server = aio.server(interceptors=interceptors, options=OPTIONS)
        handler = grpc.stream_stream_rpc_method_handler(self._process)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        self._up, self._stopped, self._ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Until `stop`; then open streams have `drain` seconds. Raises OSError where the address is taken."""
        try:
            if self._keeper:
                self._server.add_secure_port(self._bind, server_credentials(self._keeper))
            else:
                self._server.add_insecure_port(self._bind)
        except RuntimeError:
            raise OSError(f"cannot listen on {self._bind}") from None
        await self._server.start()
        self._up.set()
        try:
            await self._stopped.wait()
        finally:
            await self._server.stop(self._drain)
            self._ended.set()

    async def started(self) -> None:
        await self._up.wait()

    def stop(self) -> None:
        self._stopped.set()

    async def ended(self) -> None:
        await self._ended.wait()

    def not_ready(self) -> str | None:
        """Each handshake asks the keeper, so it is never behind."""
        return None

    async def _process(self, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        try:
            async for message in drive(messages, self._peer(context), self._desk):
                yield message
        except Unreadable as error:
            await context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Gone:
            await context.abort(grpc.StatusCode.CANCELLED, "it ended before anything was decided")
        except aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - its words may hold what the request held
            log.error("a stream ended by an error that nobody expected: %s", where(error))  # noqa: TRY400
            await context.abort(grpc.StatusCode.INTERNAL, "internal error")

    def _peer(self, context: Any) -> Peer:
        told = ""
        if self._metadata:
            told = next((value for name, value in context.invocation_metadata() or () if name == IDENTITY_HEADER), "")
        known = caller()
        return Peer(spiffe_id=str(known) if known else "", metadata=told)


class Healths(health.aio.HealthServicer):  # type: ignore[misc] # grpcio has no types
    """With `List`, which grpcio's own has not."""

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - as gRPC calls it
        known = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._server_status.items()}
        return health_pb2.HealthListResponse(statuses=known)

    def forget(self, service: str) -> None:
        self._server_status.pop(service, None)


class HealthServer:
    """`grpc.health.v1.Health` (Check, List, Watch) for the process and its service, and reflection. Not ready until told so."""

    def __init__(self, *, bind: str) -> None:
        self._servicer = Healths()
        self._server = aio.server(options=(("grpc.max_receive_message_length", 64 * 1024),))
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self._bind = bind
        self._version = self._before = ""

    async def start(self) -> int:
        await self.ready(ready=False)
        try:
            port: int = self._server.add_insecure_port(self._bind)
        except RuntimeError:
            raise OSError(f"cannot listen on {self._bind}") from None
        await self._server.start()
        return port

    async def ready(self, *, ready: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services():
            await self._servicer.set(service, status)

    async def decides_by(self, version: str) -> None:
        """Whoever wrote that version of the manifests may ask for it as for a service of this name."""
        if version and version != self._version:
            await self._servicer.set(f"manifests/{version}", health_pb2.HealthCheckResponse.SERVING)
            self._servicer.forget(f"manifests/{self._before}")
            if self._version:
                await self._servicer.set(f"manifests/{self._version}", health_pb2.HealthCheckResponse.NOT_SERVING)
            self._version, self._before = version, self._version

    async def stop(self) -> None:
        await self._servicer.enter_graceful_shutdown()
        await self._server.stop(1.0)

    def _services(self) -> Iterable[str]:
        return ("", SERVICE)
