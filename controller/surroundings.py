"""What the controller stands on: the connection to the API server with its clients, Events, metrics and the health port.

Two clients share one connection: what reconciles write goes through a guard that refuses once the Lease may be another's; the Lease
and the watches go without.
"""

import logging
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from kube.events import Recorder
from kube.metrics import Metrics
from prometheus_client import CollectorRegistry

from controller.health import Checks, Health
from controller.metrics import ControllerMetrics
from controller.settings import Settings
from kube.client import Client
from kube.transport import Transport
from kube.workqueue import WorkQueue

NAME = "groyne-controller"
FIELD_MANAGER = "groyne"

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
    health: Health | None
    metrics: Metrics
    own_metrics: ControllerMetrics

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
        health = Health.start(settings, checks, registry) if settings.health_port and not settings.once else None
        return cls(
            transport=transport,
            client=guarded,
            lease_client=free,
            guard=guard,
            recorder=Recorder(guarded, component=NAME, instance=settings.pod_name, now=now),
            checks=checks,
            health=health,
            metrics=metrics,
            own_metrics=ControllerMetrics(registry),
        )

    def queue(self, name: str) -> WorkQueue[Item]:
        return WorkQueue(random=random.random, observer=self.metrics.queue(name))

    async def close(self) -> None:
        if self.health:
            self.health.close()
        await self.transport.close()
