"""A feed on an API server in memory, whose objects tests change."""

import asyncio
from contextlib import asynccontextmanager

from daemon.kinds import CONFIG_MAPS, GLOBAL_PROFILES, NAMESPACES, PODS, PROFILES, SECRETS, TEMPLATES
from extproc.feed.cluster import ClusterFeed
from extproc.feed.quiet import QUIET
from kube.client import Client
from kube.objects import Key
from policy.program import Identity, SecretKeyRef
from unit_tests.controller.raw_objects import profile, rule
from unit_tests.controller.stage import OPT_IN, Inline, namespace
from unit_tests.kube.fake_server import FakeServer, refusal

RESOURCES = (TEMPLATES, PROFILES, GLOBAL_PROFILES, SECRETS, CONFIG_MAPS, PODS, NAMESPACES)


BY_KIND = {resource.kind: resource for resource in RESOURCES}


SOON = 3 * QUIET + 0.3
"""Seconds after which a change is in force where everything answers."""


MINE = Identity(namespace="team-a", labels=(("app", "agent"),))


KEY = SecretKeyRef(namespace="team-a", name="key", key="apiKey")


class Cluster:
    """What users do, and a feed that may be ended and begun anew."""

    def __init__(self, **how):
        self.server = FakeServer(RESOURCES, before=self.before)
        self.bound = {"team-a"}
        self.fault = lambda sent: None
        self.how = how
        self.snapshots = []
        self.life = None

    def before(self, sent):
        fault = self.fault(sent)
        if fault is None and sent.resource in (SECRETS, CONFIG_MAPS) and sent.key.namespace not in self.bound:
            return refusal(403, "Forbidden")
        return fault

    async def start(self):
        assert self.life is None
        client = Client(self.server, field_manager="test")
        self.life = asyncio.ensure_future(ClusterFeed(client, self.snapshots.append, **self.how).run())

    async def end(self):
        if self.life:
            self.life.cancel()
            await asyncio.gather(self.life, return_exceptions=True)
            self.life = None

    async def rest(self, seconds=SOON):
        await asyncio.sleep(seconds)
        assert self.life is not None
        assert not self.life.done(), self.life

    def put(self, raw):
        resource, key = BY_KIND[raw["kind"]], Key(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        head = {name: raw["metadata"][name] for name in ("name", "namespace", "labels", "annotations") if name in raw["metadata"]}
        live = self.server.storage.get(resource, key)
        if live is None:
            return self.server.storage.create(resource, {**raw, "metadata": head})
        written = {**raw, "metadata": {**live["metadata"], "annotations": {}, "labels": {}, **head}}
        live = self.server.storage.update(resource, key, written)
        return (
            self.server.storage.update(resource, key, {**live, "status": raw["status"]}, subresource="status") if "status" in raw else live
        )

    def drop(self, resource, name, space="team-a"):
        self.server.storage.delete(resource, Key(space, name))

    @property
    def view(self):
        return self.snapshots[-1].view(MINE)

    @property
    def rules(self):
        return [each.name for each in self.view.selection.rules]

    @property
    def credential(self):
        return self.view.credentials.get(KEY)


@asynccontextmanager
async def cluster(*objects, opted_in=True, begun=True, **how):
    asyncio.get_running_loop().set_default_executor(Inline())
    made = Cluster(**how)
    made.put(namespace("team-a", **(OPT_IN if opted_in else {})))
    for each in objects:
        made.put(each)
    try:
        if begun:
            await made.start()
            await made.rest()
        yield made
    finally:
        await made.end()


def pod(name, address, space="team-a", *, phase="Running", host=False, labels=None):
    head = {"name": name, "namespace": space, "labels": labels or {"app": "agent"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": head,
        "spec": {"hostNetwork": host, "containers": []},
        "status": {"phase": phase, "podIP": address, "podIPs": [{"ip": address}]},
    }


def config_map(**data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known", "namespace": "team-a"}, "data": data}


def broken(name="limits"):
    return profile(name, rules=[rule("no-uploads", "not a host")])
