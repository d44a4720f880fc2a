"""What the controller stands on: the connection to the API server with its clients, Events, metrics and the health port.

Two clients share one connection: what reconciles write goes through a guard that refuses once the Lease may be another's; the Lease
and the watches go without.
"""

import logging
import random
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from prometheus_client import CollectorRegistry

from controller.metrics import ControllerMetrics
from controller.settings import Settings
from daemon.certificate_files import CertificateFiles
from daemon.health import Checks, Health
from daemon.health_server import HealthServer
from daemon.heartbeat import Heartbeat
from kube.budget import RetryBudget
from kube.client import Client
from kube.events import Recorder
from kube.metrics import Metrics
from kube.transport import Transport
from kube.workqueue import WorkQueue

NAME = "groyne-controller"
FIELD_MANAGER = "groyne"
LONGEST_RETRY = 12.0
"""Seconds at most between two tries of a key that fails, of which the last third is jitter: what failed for long is done soon after.
The budget of all retries together keeps many such keys from being a load."""

Item = TypeVar("Item", bound=Hashable)
log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Guard:
    """Whether writes may go out; everything may until somebody says otherwise."""

    allows: Callable[[], bool] = field(default=lambda: True)

    def __call__(self) -> bool:
        return self.allows()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    transport: Transport
    client: Client
    lease_client: Client
    guard: Guard
    recorder: Recorder
    checks: Checks
    heartbeat: Heartbeat
    server: HealthServer | None
    metrics: Metrics
    own_metrics: ControllerMetrics
    retries: RetryBudget = field(default_factory=RetryBudget)

    @classmethod
    async def build(cls, settings: Settings, now: Callable[[], datetime]) -> "Surroundings":
        """Raises ValueError where there are no credentials, OSError where the port is taken."""
        kubeconfig = str(settings.kubeconfig) if settings.kubeconfig else None
        transport = await Transport.connect(kubeconfig=kubeconfig, context=settings.context or None, user_agent=NAME)
        registry = CollectorRegistry()
        metrics, guard, checks = Metrics(registry, host=transport.server), Guard(), Checks()

        def client(**more: Callable[[], bool]) -> Client:
            observer = metrics.calls
            return Client(transport, field_manager=FIELD_MANAGER, deadline=settings.call_deadline, observer=observer, **more)

        guarded, free = client(may_write=guard), client()
        own_metrics = ControllerMetrics(registry)
        heartbeat = Heartbeat(clock=time.monotonic, late=own_metrics.lag)
        health = Health(checks=checks, heartbeat=heartbeat, registry=registry)
        return cls(
            transport=transport,
            client=guarded,
            lease_client=free,
            guard=guard,
            recorder=Recorder(guarded, component=NAME, instance=settings.pod_name, now=now, random=random.random),
            checks=checks,
            heartbeat=heartbeat,
            server=serving(settings, health),
            metrics=metrics,
            own_metrics=own_metrics,
        )

    def queue(self, name: str) -> WorkQueue[Item]:
        return WorkQueue(random=random.random, most=LONGEST_RETRY, budget=self.retries, observer=self.metrics.queue(name))

    async def close(self) -> None:
        if self.server:
            self.server.stop()
        await self.transport.close()


def serving(settings: Settings, health: Health) -> HealthServer | None:
    if settings.once or not settings.health_port:
        return None
    cert, key = settings.metrics_cert, settings.metrics_key
    certificate = CertificateFiles(cert, key) if cert and key else None
    server = HealthServer(host=settings.health_host, port=settings.health_port, respond=health.answer, certificate=certificate)
    server.start()
    return server
