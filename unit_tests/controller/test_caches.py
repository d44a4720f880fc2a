"""Which caches there are, what they hold of an object, and which of them the controller waits for."""

import asyncio

import pytest

from controller.caches import Caches
from controller.cluster_view import told_by_node
from controller.compile.families import cluster_families
from controller.compile.ranges import cluster_ranges
from controller.settings import Settings
from daemon.kinds import NAMESPACES, NODES, PODS, PROFILES, SERVICE_CIDRS
from kube.client import Client
from unit_tests.controller.raw_objects import pod, profile
from unit_tests.controller.stage import RESOURCES, namespace
from unit_tests.kube.fake_server import FakeServer, refusal
from unit_tests.kube.virtual import run


def begun(story, server: FakeServer | None = None, **settings):
    async def play():
        found = server or FakeServer(RESOURCES)
        caches = Caches.make(Client(found, field_manager="test"), Settings(**settings))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(informer.run()) for _, informer in caches.all()]
            await asyncio.sleep(5)
            story(caches, found)
            for task in tasks:
                task.cancel()

    run(play())


def names(**settings) -> set[str]:
    found = []
    begun(lambda caches, _: found.extend(name for name, _ in caches.all()), **settings)
    return set(found)


EVERY = {"templates", "profiles", "globals", "policies", "service_cidrs", "nodes", "pods", "namespaces"}


def test_what_no_setting_needs_is_not_watched():
    assert names() == EVERY
    assert names(nudge=False) == EVERY - {"pods"}
    assert names(opt_in="all") == names(namespace="team-a") == EVERY - {"namespaces"}


def test_one_namespace_is_all_that_is_asked_for_where_it_is_the_scope():
    def story(caches, server):
        asked = {str(sent.resource): sent.key.namespace for sent in server.sent}
        namespaced = {str(resource) for resource in RESOURCES if resource.namespaced} & set(asked)
        assert {name for name, space in asked.items() if space == "team-a"} == namespaced

    begun(story, namespace="team-a")


def test_all_are_waited_for():
    begun(lambda caches, _: None if caches.lacking() == [] else pytest.fail("synced"))
    server = FakeServer(RESOURCES, before=lambda sent: refusal(500) if sent.resource == PROFILES else None)
    begun(lambda caches, _: None if caches.lacking() == ["profiles"] else pytest.fail("waits"), server)


@pytest.mark.parametrize("resource", [NODES, SERVICE_CIDRS])
@pytest.mark.parametrize(("code", "waits"), [(403, False), (404, False), (500, True)])
def test_ranges_that_may_not_be_had_are_done_without_and_those_that_are_late_are_waited_for(resource, code, waits):
    server = FakeServer(RESOURCES, before=lambda sent: refusal(code) if sent.resource == resource else None)
    found = []
    begun(lambda caches, _: found.extend(caches.lacking()), server)
    assert bool(found) is waits


def test_a_kind_that_is_needed_and_refused_is_waited_for():
    server = FakeServer(RESOURCES, before=lambda sent: refusal(403) if sent.resource == PROFILES else None)
    found = []
    begun(lambda caches, _: found.extend(caches.lacking()), server)
    assert found == ["profiles"]


def test_of_pods_and_namespaces_metadata_is_kept_and_only_of_those_that_matter():
    server = FakeServer(RESOURCES)
    server.storage.create(PODS, pod())
    server.storage.create(PODS, {**pod("other"), "metadata": {"name": "other", "namespace": "team-a"}})
    server.storage.create(NAMESPACES, namespace("team-a", **{"groyne.dev/secrets": "managed"}))
    server.storage.create(NAMESPACES, namespace("team-b"))
    server.storage.create(PROFILES, profile())

    def story(caches, _):
        assert [raw["metadata"]["name"] for raw in caches.pods.store.list()] == ["pod"]
        assert "spec" not in caches.pods.store.list()[0]
        assert [raw["metadata"]["name"] for raw in caches.namespaces.store.list()] == ["team-a"]
        assert "spec" in caches.profiles.store.list()[0]

    begun(story, server)


NODE = {
    "metadata": {"name": "n", "uid": "u", "resourceVersion": "7", "annotations": {"csi": "x"}, "managedFields": [{}]},
    "spec": {"podCIDR": "93.184.0.0/24", "podCIDRs": ["93.184.0.0/24", "2001:db8::/64"], "taints": []},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "8.8.4.4"}, {"type": "Hostname", "address": "n"}],
        "images": [{"names": ["i"]}],
        "conditions": [{"type": "Ready", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
    },
}


@pytest.mark.parametrize(
    "raw", [NODE, {}, {"metadata": None, "spec": [], "status": {"addresses": "none"}}], ids=["whole", "empty", "broken"]
)
def test_of_a_node_as_much_is_kept_as_ranges_and_families_are_made_of(raw):
    kept = told_by_node(raw)
    assert cluster_ranges([], [kept]) == cluster_ranges([], [raw])
    assert cluster_families([], [kept], None, None) == cluster_families([], [raw], None, None)


def test_of_a_node_in_the_cache_its_identity_is_kept_and_no_heartbeat():
    server = FakeServer(RESOURCES)
    server.storage.create(NODES, {"apiVersion": "v1", "kind": "Node", **NODE})

    def story(caches, _):
        (found,) = caches.nodes.store.list()
        assert set(found["metadata"]) == {"name", "uid", "resourceVersion"}
        assert found["status"] == {"addresses": [{"type": "InternalIP", "address": "8.8.4.4"}]}

    begun(story, server)
