"""The process from start to end: it listens at once and refuses until there is something to decide by, then drains.

    certificates → the feed reads → the first snapshot → ready
    SIGTERM → not ready, no new streams → open streams and waiting audit events end, or have had their time

It listens before it is ready, so that an Envoy that comes early is told no instead of nothing.
"""

import asyncio
import logging
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry

from daemon.health import Checks, Health
from daemon.health_server import HealthServer
from daemon.heartbeat import Heartbeat
from extproc.admission import TRUST_DOMAIN, Admission, IdentitySource
from extproc.announcing import announce
from extproc.audit.log import AuditLog, refused
from extproc.audit.metrics import AuditMetrics
from extproc.audit.opening import open_dispatcher
from extproc.desk import FrontDesk, Tell, TurnedAway
from extproc.edge.listening import TRANSPORTS, Listening, Place, Secured
from extproc.events import Headers, Refuse
from extproc.feed import Swap
from extproc.feed.cluster import ClusterFeed
from extproc.feed.manifests import ManifestFeed
from extproc.issuing import Issuer
from extproc.metrics import ExtprocMetrics
from extproc.providers.cache import CachedProvider
from extproc.providers.certified import certified
from extproc.providers.http import Tls
from extproc.providers.opening import Means, open_provider
from extproc.settings import Settings
from extproc.tracing import Tracer
from kube.client import Client
from kube.metrics import Metrics
from kube.tasks import running
from kube.transport import Transport
from mtls.files import TlsFiles, tls_files
from mtls.identity import Purpose
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers

log = logging.getLogger(__name__)

Service = Callable[[], Awaitable[object]]
NAME = "groyne-ext-proc"
GRACE = 1.0
"""Seconds that who drains has at least."""


def utc_now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - the process's one clock on the wall


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What says how the process is. May be asked by any thread."""

    checks: Checks
    health: Health
    registry: CollectorRegistry
    version: Callable[[], str]
    """Of the manifests that it decides by."""


async def run(
    settings: Settings,
    *,
    now: Callable[[], datetime] = utc_now,
    stop: asyncio.Event | None = None,
    told: Callable[[Parts], None] | None = None,
) -> None:
    """Until `stop`, SIGTERM or SIGINT. `told`: who says to others how this process is, which else has ports of its own for that.

    Raises ValueError (also `TlsError`) and OSError where it cannot begin.
    """
    stopped = stop or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        process = await Process.build(settings, stack, now)
        if told:
            told(process.parts)
        else:
            process.open_ports(stack)
        await process.serve(stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Who hears of requests that were judged, and of those that nobody could judge."""

    told: tuple[Tell, ...]
    turned_away: TurnedAway = lambda _, __: None


class Process:
    """The parts, put together."""

    def __init__(self, settings: Settings, now: Callable[[], datetime]) -> None:
        self.settings = settings
        self.now = now
        self.registry = CollectorRegistry()
        self.metrics = ExtprocMetrics(self.registry)
        self.tls_metrics = TlsMetrics(self.registry)
        self.checks = Checks()
        self.services: dict[str, Service] = {}
        self.drains: list[Callable[[float], Awaitable[object]]] = []
        heartbeat = Heartbeat(clock=time.monotonic, late=self.metrics.lag)
        self.services["heartbeat"] = heartbeat.run
        health = Health(checks=self.checks, heartbeat=heartbeat, registry=self.registry)
        self.parts = Parts(checks=self.checks, health=health, registry=self.registry, version=self.version)

    @classmethod
    async def build(cls, settings: Settings, stack: AsyncExitStack, now: Callable[[], datetime]) -> "Process":
        process = cls(settings, now)
        secured = await process._secured()
        provider = await process._provider(stack)
        heard = await process._audit(stack)
        process.desk = process._desk(provider, process._traced(heard) if settings.traces_endpoint else heard, secured)
        process.checks.add("snapshot", process.desk.not_ready)
        process.services["feed"] = await feed(settings, process.desk.swap, process.registry, stack)
        place = Place(
            bind=settings.listen,
            drain=settings.drain,
            metadata=IdentitySource.METADATA in settings.identity,
            shared=settings.workers > 1,
            secured=secured,
        )
        process.listening = TRANSPORTS[settings.transport](process.desk, place)
        process.checks.add("server", process.listening.not_ready)
        return process

    desk: FrontDesk
    listening: Listening

    async def serve(self, stop: asyncio.Event) -> None:
        self.checks.add("listening", lambda: "nobody can connect yet")
        async with running(self.services | {"server": self.listening.run}):
            await self.listening.started()
            self.checks.remove("listening")
            log.info("listening", extra={"address": self.settings.listen, "transport": self.settings.transport})
            await stop.wait()
            log.info("draining")
            self.checks.add("draining", lambda: "the process is ending")
            self.listening.stop()
            await self._drained()

    async def _drained(self) -> None:
        """Streams that are open and events that wait end, or have had their time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.drain
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until + GRACE):
                await self.listening.ended()
        for drain in self.drains:
            await drain(max(GRACE, until - loop.time()))

    def version(self) -> str:
        return self.desk.snapshot.sources.version if self.desk.snapshot else ""

    def open_ports(self, stack: AsyncExitStack) -> None:
        settings = self.settings
        if settings.health_port:
            server = HealthServer(host=settings.health_host, port=settings.health_port, respond=self.parts.health.answer)
            server.start()
            stack.callback(server.stop)
        if settings.grpc_health:
            self.services["ready"] = lambda: announce(settings.grpc_health, self.checks, self.version)

    def _desk(self, provider: CachedProvider | None, audit: "Audit", secured: Secured | None) -> FrontDesk:
        settings = self.settings
        admission = Admission(
            sources=settings.identity,
            allow_unknown=settings.unauthenticated == "allow",
            overrides=settings.allow_mode_override,
            unattributed=self.metrics.unattributed,
            trust_domain=settings.trust_domain or own_domain(secured),
        )
        issuer = Issuer(provider, deadline=settings.provider_timeout + 1.0, failed=self.metrics.credential_failed)
        return FrontDesk(
            admission=admission, issuer=issuer, metrics=self.metrics, clock=time.monotonic, told=audit.told, turned_away=audit.turned_away
        )

    async def _audit(self, stack: AsyncExitStack) -> "Audit":
        settings, observer = self.settings, AuditMetrics(self.registry)
        opened = open_dispatcher(observer, capacity=settings.audit_queue, loopback=settings.audit_loopback)
        dispatcher = await stack.enter_async_context(opened)
        self.services["audit"] = dispatcher.run
        self.drains.append(dispatcher.drain)
        if not settings.audit_log:
            return Audit(told=(dispatcher.tell,))
        written = AuditLog(sys.stdout, observer, clock=self.now)
        self.drains.append(written.close)
        return Audit(
            told=(dispatcher.tell, written.tell),
            turned_away=lambda headers, answer: written.write(refused(headers, reason=answer.reason, status=answer.status, pod=answer.pod)),
        )

    def _traced(self, audit: "Audit") -> "Audit":
        """Beside the audit, who traces."""
        from extproc.edge.otlp import Exporter  # noqa: PLC0415 - only who traces pays for it

        tracer = Tracer(
            ratio=self.settings.traces_ratio,
            clock=time.monotonic,
            offset=lambda: self.now().timestamp() - time.monotonic(),
            random=secrets.token_bytes,
            lost=self.metrics.spans_dropped,
        )
        exporter = Exporter(self.settings.traces_endpoint, tracer, sent=self.metrics.spans_sent, lost=self.metrics.spans_dropped)
        self.services["traces"] = exporter.run
        self.drains.append(exporter.drain)

        def turned_away(headers: Headers, answer: Refuse) -> None:
            audit.turned_away(headers, answer)
            tracer.turned_away(headers, answer)

        return Audit(told=(*audit.told, tracer.tell), turned_away=turned_away)

    async def _secured(self) -> Secured | None:
        settings = self.settings
        names = ("tls-cert", "tls-key", "tls-ca")
        files = tls_files(edge="Envoy", certificate=settings.tls_cert, key=settings.tls_key, authorities=settings.tls_ca, names=names)
        if files is None:
            return None
        keeper = await self._keeper("envoy-certificate", files, Purpose.SERVER)
        return Secured(keeper=keeper, peers=Peers.of(*settings.tls_clients))

    async def _provider(self, stack: AsyncExitStack) -> CachedProvider | None:
        settings = self.settings
        if not settings.provider_url:
            return None
        means = Means(
            wall_clock=self.now,
            observer=self.metrics,
            tls=await self._provider_tls(),
            timeout=settings.provider_timeout,
            plaintext=settings.provider_plaintext,
        )
        opened = await stack.enter_async_context(open_provider(settings.provider_url, means))
        cached = CachedProvider(
            opened,
            observer=self.metrics,
            ttl=settings.provider_cache_ttl,
            most=settings.provider_cache_size,
            timeout=settings.provider_timeout,
        )
        return await stack.enter_async_context(cached)

    async def _provider_tls(self) -> Tls | None:
        settings = self.settings
        names = ("provider-cert", "provider-key", "provider-ca")
        given = (settings.provider_cert, settings.provider_key, settings.provider_ca)
        files = tls_files(edge="credential provider", certificate=given[0], key=given[1], authorities=given[2], names=names)
        if files is None:
            return None
        return certified(await self._keeper("provider-certificate", files, Purpose.CLIENT))

    async def _keeper(self, name: str, files: TlsFiles, purpose: Purpose) -> Keeper:
        keeper = await Keeper.open(files, now=self.now, metrics=self.tls_metrics, purposes=[purpose])
        self.checks.add(name, keeper.not_ready)
        self.services[name] = keeper.run
        return keeper


def own_domain(secured: Secured | None) -> str:
    own = secured.keeper.current.identity if secured else None
    return own.trust_domain if own else TRUST_DOMAIN


async def feed(settings: Settings, swap: Swap, registry: CollectorRegistry, stack: AsyncExitStack) -> Service:
    """Raises ValueError where there are no credentials for the API server."""
    if settings.manifests:
        return ManifestFeed(settings.manifests, swap).run
    kubeconfig = str(settings.kubeconfig) if settings.kubeconfig else None
    transport = await Transport.connect(kubeconfig=kubeconfig, context=settings.context or None, user_agent=NAME)
    stack.push_async_callback(transport.close)
    client = Client(transport, field_manager=NAME, observer=Metrics(registry, host=transport.server).calls)
    addresses = IdentitySource.ADDRESS in settings.identity
    return ClusterFeed(client, swap, namespace=settings.namespace, opt_in_label=settings.opt_in_label, addresses=addresses).run
