"""The whole controller on an API server in memory and on virtual time: started, crashed, started again, and looked at.

What compiles runs in the loop itself, since a thread's time is real time and the loop's is not. Whoever stands on this stage plays the
users, on `server.storage`; faults are what `server.before` and `server.after` say. `bound` are the namespaces whose Secrets the
controller's account may touch: in all others it is refused, as RBAC does.

    async with staged() as stage:
        stage.opt_in("team-a")
        stage.put(template("python"))
        await stage.start()
        await stage.rest()
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from prometheus_client import CollectorRegistry

from controller.assembly import Assembly
from controller.metrics import ControllerMetrics
from controller.settings import Settings
from controller.surroundings import FIELD_MANAGER, NAME, Guard, Surroundings
from daemon.health import Checks
from daemon.heartbeat import Heartbeat
from daemon.kinds import (
    GLOBAL_PROFILES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    PROFILES,
    SECRETS,
    SERVICE_CIDRS,
    SERVICES,
    TEMPLATES,
)
from kube.client import Client
from kube.event_body import EVENTS
from kube.events import Recorder
from kube.metrics import Metrics
from kube.objects import Key, Raw, Resource, key_of
from unit_tests.kube.fake_server import FakeServer, Fault, Sent, refusal

RESOURCES = (
    TEMPLATES,
    PROFILES,
    GLOBAL_PROFILES,
    NETWORK_POLICIES,
    SECRETS,
    PODS,
    NODES,
    SERVICE_CIDRS,
    SERVICES,
    NAMESPACES,
    EVENTS,
)
BY_KIND = {resource.kind: resource for resource in RESOURCES}
SINCE = datetime(2026, 1, 1, tzinfo=UTC)
REST = 30.0
"""Without faults, everything is done long before."""
OPT_IN = {"groyne.dev/secrets": "managed"}


class Inline(ThreadPoolExecutor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 — as an executor does
            done.set_exception(error)
        return done


def now() -> datetime:
    return SINCE + timedelta(seconds=asyncio.get_running_loop().time())


class Stage:
    def __init__(self, **settings: Any) -> None:
        self.server = FakeServer(RESOURCES, before=self._before)
        self.server.storage.clock = lambda: f"{now():%Y-%m-%dT%H:%M:%SZ}"
        self.settings = Settings(**{"leader_election": False, "workers": 3, **settings})
        self.bound: set[str] = set()
        self.fault: Callable[[Sent], Fault] = lambda sent: None
        self.registry = CollectorRegistry()
        self.ahead = timedelta()
        self._life: asyncio.Task[None] | None = None

    def now(self) -> datetime:
        """The wall clock. `ahead`: it was asleep for so long, and the event loop with it."""
        return now() + self.ahead

    @property
    def running(self) -> bool:
        return self._life is not None and not self._life.done() and not self._life.cancelling()

    async def start(self, *, stand_by: float = 0.0) -> None:
        """A process begins; nothing is waited for. `stand_by`: another leads for so long."""
        assert not self.running
        self._life = asyncio.ensure_future(self._live(stand_by))

    async def once(self) -> bool:
        """As with `--once`."""
        async with self.process() as assembly:
            return await assembly.once()

    async def crash(self) -> None:
        """At once: nothing is ended, nothing is remembered."""
        if self._life:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
            self._life = None

    def die(self) -> None:
        """As `crash`, out of a request."""
        if self._life:
            self._life.cancel()

    async def again(self) -> None:
        await self.crash()
        await self.start()

    async def rest(self, seconds: float = REST) -> None:
        await asyncio.sleep(seconds)
        assert self.running, "the controller has ended"

    def put(self, raw: Raw) -> Raw:
        """As a user applies a manifest: made, or brought to what it says; labels and status that others wrote stay."""
        resource, key = BY_KIND[raw["kind"]], key_of(raw)
        live = self.server.storage.get(resource, key)
        written = {**raw, "metadata": {name: value for name, value in raw["metadata"].items() if name in WRITABLE}}
        if live is None:
            return self.server.storage.create(resource, written)
        labels = {**live["metadata"].get("labels", {}), **written["metadata"].get("labels", {})}
        head = {**live["metadata"], "annotations": {}, **written["metadata"], "labels": labels}
        return self.server.storage.update(resource, key, {**written, "metadata": head})

    def get(self, resource: Resource, name: str, namespace: str = "team-a") -> Raw | None:
        return self.server.storage.get(resource, Key(namespace, name))

    def drop(self, resource: Resource, name: str, namespace: str = "team-a") -> None:
        """With what it owns, as the controller-manager does."""
        self.server.storage.delete(resource, Key(namespace, name))
        self.server.storage.collect_garbage()

    def opt_in(self, *namespaces: str) -> None:
        for each in namespaces:
            self.bound.add(each)
            self.put(namespace(each, **OPT_IN))

    def writes(self) -> list[Sent]:
        """But Events, which are words about objects and none of them."""
        return [sent for sent in self.server.writes() if sent.resource != EVENTS]

    def events(self, reason: str) -> list[Raw]:
        return [raw for raw in self.server.storage.objects(EVENTS).values() if raw["reason"] == reason]

    async def _live(self, stand_by: float) -> None:
        async with self.process() as assembly:
            await asyncio.sleep(stand_by)
            await assembly.prepare()
            await assembly.work()

    @asynccontextmanager
    async def process(self) -> AsyncIterator[Assembly]:
        around = self._around()
        async with asyncio.TaskGroup() as group:
            assembly = Assembly(self.settings, around, group, self.now)
            before = asyncio.all_tasks()
            assembly.start()
            group.create_task(around.recorder.run())
            await assembly.synced()
            yield assembly
            for task in asyncio.all_tasks() - before:
                task.cancel()

    def _around(self) -> Surroundings:
        registry = self.registry = CollectorRegistry()
        metrics, own = Metrics(registry, host="https://in.memory"), ControllerMetrics(registry)
        client = Client(self.server, field_manager=FIELD_MANAGER, deadline=self.settings.call_deadline, observer=metrics.calls)
        recorder = Recorder(client, component=NAME, instance="stage", now=now, random=random.random)
        heart = Heartbeat(clock=asyncio.get_running_loop().time, late=own.lag)
        return Surroundings(
            transport=cast("Any", None),
            client=client,
            lease_client=client,
            guard=Guard(),
            recorder=recorder,
            checks=Checks(),
            heartbeat=heart,
            server=None,
            metrics=metrics,
            own_metrics=own,
        )

    def _before(self, sent: Sent) -> Fault:
        fault = self.fault(sent)
        if fault is None and sent.resource == SECRETS and sent.key.namespace not in self.bound and "" not in self.bound:
            return refusal(403, "Forbidden")
        return fault


WRITABLE = ("name", "namespace", "labels", "annotations", "creationTimestamp", "finalizers")


def namespace(name: str, **labels: str) -> Raw:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@asynccontextmanager
async def staged(seed: int = 0, **settings: Any) -> AsyncIterator[Stage]:
    random.seed(seed)  # jitter alone is drawn from there
    asyncio.get_running_loop().set_default_executor(Inline())
    stage = Stage(**settings)
    try:
        yield stage
    finally:
        await stage.crash()
