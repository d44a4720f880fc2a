"""The stream served by h2corn, whose HTTP/2 is Rust's: more requests on one processor than grpcio (docs/performance.md).

It takes its certificate when it starts. So an exchanged certificate is a new server on the same port, and the old one drains:
its connections are told to go, streams that are open come to their end. Who a client is, is asked for each stream. Sockets are
opened here, because it would go on listening while it drains, and connect clients whom nobody answers. A server that cannot
take the other's place is made again, a while later each time; until then the old one serves, and that is said as not ready.
"""

import asyncio
import logging
import socket
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from h2corn import Config, Server

from extproc.edge.asgi import Application
from extproc.edge.protocol import STREAMS
from kube.tasks import First
from mtls.contexts import file_of
from mtls.keeper import FIRST_RETRY, LAST_RETRY, Keeper
from mtls.material import Material

BACKLOG = 1024
DOUBLED = 10
"""Times that the wait before another attempt doubles, at most."""
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
        self._failures = 0
        """In a row, to take what the keeper holds."""
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
                    await self._something(group)
                    if not self._stopped.is_set():
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

    def not_ready(self) -> str | None:
        return "the certificate that is in force cannot be used to listen: the one before still is" if self._failures else None

    async def _something(self, group: asyncio.TaskGroup) -> None:
        """Until it is stopped, there is another certificate, or it is time to try again."""
        patience = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures - 1, DOUBLED)) if self._failures else None
        waiting = [group.create_task(event.wait()) for event in (self._stopped, self._exchanged)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=patience)
        for task in waiting:
            task.cancel()

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        sockets = [] if self._bind.startswith("unix:") else [opened(bind, shared=self._shared) for bind in binds(self._bind)]
        with ExitStack() as held:
            # It reads its files while it starts. They may have changed on the disk since they were judged.
            secured = certified(self._keeper.current, held) if self._keeper else {}
            try:
                server = Server(self._application, self._config([f"fd://{each.fileno()}" for each in sockets] or [self._bind], secured))
            except (OSError, ValueError):
                for each in sockets:
                    each.close()
                raise
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
            self._failures += 1
            log.warning("the server cannot take its new certificate: the old one stays", extra={"why": type(error).__name__})
            return
        self._failures = 0
        for server in old:
            self._drain_one(server)

    def _config(self, places: list[str], secured: dict[str, Any]) -> Config:
        return Config(
            bind=tuple(places),
            lifespan="off",
            runtime_threads=1,  # Python is what takes time: a second one only wants the processor that Python is on
            grpc=True,
            http1=False,
            access_log=False,
            log_format="json",
            uds_permissions=PRIVATE,
            max_concurrent_streams=STREAMS,
            timeout_graceful_shutdown=self._drain,
            **secured,
        )


def certified(material: Material, held: ExitStack) -> dict[str, Any]:
    """Its files are there for as long as `held`."""
    contents = {"certfile": material.certificate_pem, "keyfile": material.key_pem, "ca_certs": material.authorities_pem or b""}
    return {name: held.enter_context(file_of(content)) for name, content in contents.items()} | {"cert_reqs": "required"}


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
