"""All parts of the controller, put together once: caches, books, queues, reconcilers. `run` decides when each begins and ends.

informers → dispatch → queues (templates, profiles, order, nudges) → reconcilers → client
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.announcer import Announcer
from controller.aside import Aside
from controller.caches import Caches, secrets_of
from controller.cluster_view import ClusterView, tells_the_same
from controller.contests import Contests
from controller.dispatch import Dispatch, SecretUsers
from controller.ext_proc import ExtProcPlace, engines
from controller.ledger import Ledger
from controller.nudger import Nudger, Rate
from controller.order import OrderReconciler
from controller.pace import Pace
from controller.policy_writer import PolicyWriter
from controller.profile_reconciler import OrderWarnings, ProfileReconciler
from controller.renewal import CertificateKind
from controller.secret_writer import SecretWriter
from controller.settings import Settings
from controller.surroundings import Surroundings
from controller.template_book import TemplateBook
from controller.template_reconciler import Effects, Rooms, TemplateReconciler
from controller.workload_keeper import Place, WorkloadKeeper
from daemon.kinds import GLOBAL_PROFILES, PROFILES, SERVICES
from daemon.last_good import LastGood
from daemon.opted_in import EVERYWHERE, OptedIn
from daemon.profile_book import ProfileBook
from daemon.secret_reader import SecretReader
from kube import objects
from kube.errors import ApiError, Forbidden, NotFound
from kube.informer import Informer, Turned
from kube.objects import Key, Raw
from kube.reconcile import Controller
from kube.waiting import Priority
from kube.workqueue import WorkQueue
from policy.program import ProfileRef

log = logging.getLogger(__name__)

PUT_OFF = 10.0
"""Seconds for what was too soon, once there is nothing else to do: a write of each object comes within one."""
SETTLE = 0.2
"""Seconds before a profile's status is looked at after an edit: by then its templates are mostly done."""
STATUSES_AT_ONCE = 4
"""So many times fewer than templates."""
ORDER_AFTER = 1.0
REFRESH_AFTER = 1.0
"""Nodes come in numbers: all that came within this second are read together."""
POLL = 0.05
AGAIN = 1.0
KUBERNETES_SERVICE = Key("default", "kubernetes")
EXT_PROC = Key("", "groyne-ext-proc")


@dataclass(slots=True, kw_only=True)
class State:
    """What is remembered between reconciles. `working`: this replica acts."""

    profiles: ProfileBook = field(default_factory=ProfileBook)
    templates: TemplateBook = field(default_factory=TemplateBook)
    users: SecretUsers = field(default_factory=SecretUsers)
    ledger: Ledger = field(default_factory=Ledger)
    unsaid: set[ProfileRef] = field(default_factory=set)
    warnings: OrderWarnings = field(default_factory=OrderWarnings)
    pace: Pace = field(default_factory=Pace)
    service: Raw | None = None
    working: bool = False
    refresh: asyncio.TimerHandle | None = None
    orders: set[str] = field(default_factory=set)
    """Namespaces whose order warnings were asked for while nothing was worked on."""


class Assembly:
    """Informers and books work from `start` on, reconcilers during `work`."""

    def __init__(self, settings: Settings, around: Surroundings, group: asyncio.TaskGroup, now: Callable[[], datetime]) -> None:
        self._settings, self._around, self._group, self._now = settings, around, group, now
        self._state = State(profiles=ProfileBook(engines=engines(settings)))
        self._templates: WorkQueue[Key] = around.queue("sandboxtemplate")
        self._profiles: WorkQueue[ProfileRef] = around.queue("securityprofile")
        self._orders: WorkQueue[str] = around.queue("order")
        self._nudges: WorkQueue[Key] = around.queue("nudge")
        self._workloads: WorkQueue[Key] = around.queue("workload")
        self._caches = Caches.make(around.client, settings)
        self._opted_in = OptedIn(group=group, make=self._secrets_informer, changed=self._access_changed)
        self._secrets = SecretReader(around.client, self._opted_in.informer)
        self._ext_proc = ExtProcPlace(settings=settings, changed=self._surroundings_changed)
        self._cluster = ClusterView(
            settings=settings,
            service_cidrs=self._caches.service_cidrs.store.list,
            nodes=self._caches.nodes.store.list,
            kubernetes_service=lambda: self._state.service,
            ext_proc=self._ext_proc,
            authorities=lambda: self._keeper.authorities,
        )
        self._state.pace = Pace(self._contests())
        self._keeper = WorkloadKeeper(
            place=Place.of(settings),
            writer=SecretWriter(around.client, self._state.pace),
            announce=Announcer(self._tell),
            changed=self._surroundings_changed,
            expiring=lambda ends: around.own_metrics.certificates(settings.pod_namespace, "", ends),
            now=now,
        )
        self._dispatch = self._make_dispatch()
        self._last_good = LastGood(client=around.client, profiles=self._state.profiles, changed=self._dispatch.changed)
        around.own_metrics.inventory(templates=lambda: len(self._state.templates), profiles=self._state.profiles.states)

    @property
    def ready(self) -> str | None:
        """Why not, or None."""
        lacking = self._caches.lacking()
        return f"not synced: {', '.join(lacking)}" if lacking else self._ext_proc.lacking

    def start(self) -> None:
        self._listen()
        for name, informer in self._caches.all():
            self._group.create_task(informer.run(), name=f"informer {name}")
        self._group.create_task(self._ext_proc.run(), name="ext-proc's address")
        self._around.checks.add("informers", lambda: self.ready)
        if self._settings.opt_in == "all" or self._settings.namespace:
            self._opted_in.add(self._settings.namespace or EVERYWHERE)

    async def synced(self) -> None:
        """Until every cache is filled, and the books with them."""
        while self._caches.lacking() or self._opted_in.untried or self._ext_proc.lacking:  # noqa: ASYNC110 — many caches, and namespaces come while we wait
            await asyncio.sleep(POLL)
        while not await self._read_service():  # noqa: ASYNC110 — the API server is asked, nobody tells
            await asyncio.sleep(AGAIN)
        self._cluster.refresh()

    async def prepare(self) -> None:
        """What must be known before the first status is written, and what may have changed while another led."""
        if self._settings.issues:
            await self._keeper.first_look()
            self._workloads.add(EXT_PROC)
        self._cluster.refresh()
        await self._last_good.restore(self._opted_in.open)
        self._state.orders.clear()
        order = self._order_reconciler()
        for namespace in self._state.profiles.namespaces:
            await order(namespace)

    def _begin(self) -> None:
        """To prepare takes a while: what has changed meanwhile was told to nobody who worked."""
        self._state.working = True
        self._cluster.refresh()
        for namespace in self._state.orders:
            self._orders.add(namespace)
        self._dispatch.everything()

    async def work(self) -> None:
        """After `prepare`, until the queues are shut down."""
        self._begin()
        async with asyncio.TaskGroup() as group:
            for controller in self._controllers():
                group.create_task(controller.run())

    async def once(self) -> bool:
        """Brings everything up to date. Whether all of it is."""
        await self.prepare()
        self._begin()
        async with asyncio.TaskGroup() as group:
            for controller in self._controllers():
                group.create_task(controller.run())
            await self._settled()
            complete = self._complete()
            self.shut_down()
        return complete and (self._keeper.complete or not self._settings.issues)

    def _complete(self) -> bool:
        """Asked before the queues are shut down, which forget what is to be tried again."""
        templates = [objects.key_of(raw) for raw in self._caches.templates.store.list() if not objects.deleting(raw)]
        profiles = any(self._profiles.retries(ref) for ref in self._state.profiles.all_refs())
        failing = profiles or self._state.unsaid or any(self._templates.retries(key) or self._nudges.retries(key) for key in templates)
        return not failing and self._state.ledger.all_written(templates)

    async def _settled(self) -> None:
        """All queues empty, also of what was put off for a moment. What fails is not waited for, nor what is put off again and again."""
        queues = (self._templates, self._orders, self._profiles)
        waited = 0.0
        while True:
            for queue in queues:
                await queue.idle()
            await asyncio.sleep(SETTLE + POLL)
            if any(queue.statistics().depth or queue.statistics().processing for queue in queues):
                continue
            if waited >= PUT_OFF or not self._put_off():
                return
            waited += SETTLE + POLL

    def _put_off(self) -> bool:
        templates = any(not self._templates.retries(key) for key in self._state.ledger.put_off())
        return templates or any(not self._profiles.retries(ref) for ref in self._state.unsaid)

    def shut_down(self) -> None:
        for queue in (self._templates, self._profiles, self._orders, self._nudges, self._workloads):
            queue.shut_down(drop=True)

    def _controllers(self) -> list[Controller[Any]]:
        settings, metrics, workers = self._settings, self._around.metrics, self._settings.workers

        def controller(name: str, reconcile: Any, queue: WorkQueue[Any], count: int) -> Controller[Any]:
            return Controller(
                name,
                reconcile,
                queue,
                workers=count,
                timeout=settings.reconcile_timeout,
                grace=settings.drain_timeout,
                observer=metrics.reconcile(name),
            )

        found = [
            controller("sandboxtemplate", self._template_reconciler(), self._templates, workers),
            controller("securityprofile", self._statuses(), self._profiles, max(1, workers // STATUSES_AT_ONCE)),
            controller("order", self._order_reconciler(), self._orders, 1),
        ]
        if self._caches.pods:
            found.append(controller("nudge", self._nudger(), self._nudges, 2))
        if self._settings.issues:
            found.append(controller("workload", self._keeper, self._workloads, 1))
        return found

    def _statuses(self) -> Aside[ProfileRef]:
        crowd = self._settings.workers
        return Aside(reconcile=self._profile_reconciler(), crowded=lambda: self._templates.statistics().depth > crowd)

    def _template_reconciler(self) -> TemplateReconciler:
        client, state = self._around.client, self._state
        rooms = Rooms(
            templates=self._caches.templates.store,
            profiles=state.profiles,
            book=state.templates,
            last_good=self._last_good,
            secrets=self._secrets,
            cluster=self._cluster,
        )
        effects = Effects(
            client=client,
            policies=PolicyWriter(client, self._caches.policies.store, state.pace, self._settings.take_over),
            secrets=SecretWriter(client, state.pace),
            announce=Announcer(self._tell),
            changed=self._profiles_changed,
            distributed=self._distributed,
            uses=state.users.put,
            expiring=self._expiring,
        )
        return TemplateReconciler(rooms, effects, state.ledger, self._now)

    def _profile_reconciler(self) -> ProfileReconciler:
        state = self._state
        return ProfileReconciler(
            client=self._around.client,
            stores={PROFILES.kind: self._caches.profiles.store, GLOBAL_PROFILES.kind: self._caches.globals.store},
            profiles=state.profiles,
            templates=state.templates,
            warnings=state.warnings,
            ledger=state.ledger,
            pace=state.pace,
            tell=self._tell,
            now=self._now,
            unsaid=state.unsaid,
            scope=self._settings.namespace,
        )

    def _order_reconciler(self) -> OrderReconciler:
        return OrderReconciler(profiles=self._state.profiles, warnings=self._state.warnings, changed=self._profiles_changed)

    def _nudger(self) -> Nudger:
        assert self._caches.pods is not None  # noqa: S101 — only asked for where there are pods to nudge
        return Nudger(
            client=self._around.client,
            pods=self._caches.pods.store,
            secrets=self._secrets,
            rate=Rate(self._settings.nudge_rate),
            count=self._around.own_metrics.nudged,
        )

    def _make_dispatch(self) -> Dispatch:
        return Dispatch(
            profiles=self._state.profiles,
            templates=self._state.templates,
            users=self._state.users,
            template=self._add_template,
            again=lambda key: self._add_template(key, Priority.LOW),
            profile=self._add_profile,
            order=self._add_order,
            nudge=self._add_nudge,
            exists=lambda key: key in self._caches.templates.store,
        )

    def _listen(self) -> None:
        caches, dispatch = self._caches, self._dispatch
        caches.templates.add_handler(dispatch.on_template)
        caches.profiles.add_handler(dispatch.on_profile)
        caches.globals.add_handler(dispatch.on_profile)
        caches.policies.add_handler(dispatch.on_policy)
        for informer in (caches.nodes, caches.service_cidrs):
            informer.add_handler(self._cluster_changed)
        if caches.pods:
            caches.pods.add_handler(dispatch.on_pod)
        if caches.namespaces:
            caches.namespaces.add_handler(self._namespace_changed)

    def _secrets_informer(self, namespace: str, turned: Turned) -> Informer:
        informer = secrets_of(self._around.client, namespace, turned)
        informer.add_handler(self._dispatch.on_secret)
        return informer

    def _namespace_changed(self, old: Raw | None, new: Raw | None) -> None:
        name = objects.key_of(new or old or {}).name
        if new and not objects.deleting(new):
            self._opted_in.add(name)
        else:
            self._opted_in.remove(name)

    def _access_changed(self, namespace: str) -> None:
        self._secrets.forget_closed(namespace)
        self._dispatch.namespace(namespace)

    def _cluster_changed(self, old: Raw | None, new: Raw | None) -> None:
        if self._state.working and not self._state.refresh and not tells_the_same(old, new):
            self._state.refresh = asyncio.get_running_loop().call_later(REFRESH_AFTER, self._refresh)

    def _refresh(self) -> None:
        self._state.refresh = None
        self._surroundings_changed()

    def _surroundings_changed(self) -> None:
        if self._state.working and self._cluster.refresh():
            self._dispatch.everything()

    def _add_template(self, key: Key, priority: Priority = Priority.NORMAL) -> None:
        if self._state.working:
            self._templates.add(key, priority=priority)

    def _add_profile(self, ref: ProfileRef) -> None:
        if self._state.working:
            self._profiles.add_after(ref, SETTLE)

    def _add_order(self, namespace: str) -> None:
        if self._state.working:
            self._orders.add_after(namespace, ORDER_AFTER)
        else:
            self._state.orders.add(namespace)

    def _add_nudge(self, template: Key) -> None:
        if self._state.working and self._caches.pods:
            self._nudges.add_after(template, POLL)

    def _profiles_changed(self, refs: frozenset[ProfileRef]) -> None:
        for ref in refs:
            if self._state.working:
                self._profiles.add(ref)

    def _distributed(self, _key: Key, _revision: str) -> None:
        self._around.own_metrics.secret_written()

    def _expiring(self, key: Key, ends: Mapping[CertificateKind, datetime]) -> None:
        self._around.own_metrics.certificates(key.namespace, key.name, ends)

    def _contests(self) -> Contests:
        caches = self._caches
        profiles = {PROFILES.kind: caches.profiles.store, GLOBAL_PROFILES.kind: caches.globals.store}
        return Contests(templates=caches.templates.store, profiles=profiles, tell=self._tell)

    def _tell(self, about: Raw, kind: Any, reason: str, note: str) -> None:
        self._around.recorder.record(about, type=kind, reason=reason, action="Reconcile", note=note)

    async def _read_service(self) -> bool:
        """Whether it is known: as it is, or that it is not to be had, and then it is done without."""
        try:
            self._state.service = await self._around.client.get(SERVICES, KUBERNETES_SERVICE)
        except (Forbidden, NotFound) as error:
            log.info("the `kubernetes` Service is not read: %s", error)
        except ApiError as error:
            log.warning("the `kubernetes` Service is not read yet: %s", error)
            return False
        return True
