"""The stream served by h2corn, whose HTTP/2 is Rust's: more requests on one processor than grpcio (docs/performance.md).

It takes its certificate when it starts. So an exchanged certificate is a new server on the same port, and the old one drains:
its connections are told to go, streams that are open come to their end. Who a client is, is asked for each stream. Sockets are
opened here, because it would go on listening while it drains, and connect clients whom nobody answers.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from functools import partial
from typing import Any

from h2corn import Config, Server

from extproc.edge.asgi import Application
from kube.tasks import First
from mtls.keeper import Keeper

STREAMS = 10_000
BACKLOG = 1024
PRIVATE = 0o600
"""A socket in the file system is for one user."""

log = logging.getLogger(__name__)


class H2cornServer:
    """`bind` is `host:port` or `unix:path`; with a `keeper` its clients must show a certificate. `shared`: others listen there too."""

    def __init__(self, application: Application, *, bind: str, drain: float, keeper: Keeper | None = None, shared: bool = False) -> None:
        self._application = application
        self._bind, self._drain = bind, drain
        self._keeper = keeper
        self._shared = shared or keeper is not None
        self._servers: dict[Server, list[socket.socket]] = {}
        self._first = First()
        self._exchanged = asyncio.Event()
        self._stopped = asyncio.Event()
        self._up, self._ended = asyncio.Event(), asyncio.Event()
        if keeper:
            keeper.on_exchange(lambda _: self._exchanged.set())

    async def run(self) -> None:
        """Until `stop`; then what is in hand is ended. Raises OSError or ValueError where the first server cannot begin."""
        with self._first.alone():
            async with asyncio.TaskGroup() as group:
                await self._begin(group)
                self._up.set()
                while not self._stopped.is_set():
                    await self._either(group)
                    if self._exchanged.is_set():
                        self._exchanged.clear()
                        await self._replace(group)
                for server in list(self._servers):
                    self._drain_one(server)
        self._ended.set()

    async def started(self) -> None:
        await self._up.wait()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(list(self._servers)[-1].addresses)

    def stop(self) -> None:
        self._stopped.set()

    async def ended(self) -> None:
        await self._ended.wait()

    async def _either(self, group: asyncio.TaskGroup) -> None:
        waiting = [group.create_task(event.wait()) for event in (self._stopped, self._exchanged)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        sockets = [] if self._bind.startswith("unix:") else [opened(bind, shared=self._shared) for bind in binds(self._bind)]
        server = Server(self._application, self._config([f"fd://{each.fileno()}" for each in sockets] or [self._bind]))
        self._servers[server] = sockets
        group.create_task(self._first.watch("h2corn", partial(self._serve, server)), name="h2corn")
        await server.wait_started()

    async def _serve(self, server: Server) -> None:
        try:
            await server.serve()
        except (OSError, ValueError):
            # Who was to take another's place and cannot, says so to `_replace`.
            if len(self._servers) == 1:
                raise
        finally:
            for each in self._servers.pop(server):
                each.close()

    def _drain_one(self, server: Server) -> None:
        server.shutdown()
        for each in self._servers[server]:
            # Also of those who have a copy of it: who connects is refused, or served by somebody else.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    async def _replace(self, group: asyncio.TaskGroup) -> None:
        old = list(self._servers)
        try:
            await self._begin(group)
        except (OSError, ValueError) as error:
            log.warning("the server cannot take its new certificate: the old one stays", extra={"why": type(error).__name__})
            return
        for server in old:
            self._drain_one(server)

    def _config(self, places: list[str]) -> Config:
        secured: dict[str, Any] = {}
        if self._keeper:
            certificate, key, *authorities = self._keeper.files.paths
            secured = {"certfile": certificate, "keyfile": key, "ca_certs": authorities[0], "cert_reqs": "required"}
        return Config(
            bind=tuple(places),
            lifespan="off",
            grpc=True,
            http1=False,
            access_log=False,
            log_format="json",
            uds_permissions=PRIVATE,
            max_concurrent_streams=STREAMS,
            timeout_graceful_shutdown=self._drain,
            **secured,
        )


def opened(bind: str, *, shared: bool) -> socket.socket:
    """Raises OSError."""
    host, _, port = bind.rpartition(":")
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=shared)
    except OSError as error:
        raise OSError(f"cannot listen on {bind}: {error.strerror}") from None


def binds(bind: str) -> tuple[str, ...]:
    """h2corn takes `[::]` for IPv6 alone, and everybody else for both families, where there are both."""
    host, _, port = bind.rpartition(":")
    if host != "[::]":
        return (bind,)
    everywhere = f"0.0.0.0:{port}"
    return (bind, everywhere) if socket.has_dualstack_ipv6() else (everywhere,)
