"""One conversation with an API server, and what a real one (1.35) answered. The server in memory must answer the same.

It needs a namespace in which no ConfigMap and no PodDisruptionBudget of these names exist. Each line is what was done and what came
of it: the class of the error, or the data that the object then had; `=` before it where the version stayed what it was.
"""

from collections.abc import Awaitable
from typing import Any

from kube.client import Client
from kube.errors import ApiError
from kube.objects import Key, Raw, Resource, generation, resource_version, uid_of

MAPS = Resource(version="v1", plural="configmaps", kind="ConfigMap")
BUDGETS = Resource(group="policy", version="v1", plural="poddisruptionbudgets", kind="PodDisruptionBudget")

SAID = [
    "create: a=1 b=2",
    "create again: AlreadyExists",
    "create elsewhere than it says: Invalid",
    "get: =a=1 b=2",
    "get what is not there: NotFound",
    "apply the same: a=1 b=2",
    "apply less than was created: a=1 b=2",
    "apply more: a=1 b=2 c=3",
    "apply less than was applied: a=1 b=2",
    "apply the same again: =a=1 b=2",
    "apply against another manager, not by force: Conflict",
    "apply against another manager: a=9 b=2",
    "apply to another object: Conflict",
    "apply to an earlier version: Conflict",
    "apply what is gone, by uid: Conflict",
    "apply what is not there: a=1",
    "patch with a test that fails: Invalid",
    "patch what is not there: Invalid",
    "patch to another uid: Conflict",
    "patch an earlier version: Conflict",
    "patch with a test that holds: a=8 b=2",
    "patch nothing: =a=8 b=2",
    "merge: a=8 q=1",
    "merge an earlier version: Conflict",
    "replace an earlier version: Conflict",
    "replace another object: Conflict",
    "replace: a=1",
    "replace with the same: =a=1",
    "delete another object: Conflict",
    "delete an earlier version: Conflict",
    "delete: gone",
    "delete again: gone",
    "page one: 2 more",
    "page two: 1 done",
    "labelled: x y",
    "labelled otherwise: z",
    "with any such label: x y z",
    "by name: y",
    "by an unknown field: Invalid",
    "metadata only: apiVersion kind metadata",
    "list of the future: Unavailable ResourceVersionTooLarge",
    "generation when made: 1",
    "generation after metadata: 1",
    "generation after status: 1 allowed=3",
    "generation after spec: 2 allowed=3",
    "status is not written with the spec: 2 allowed=3",
    "spec is not written with the status: 2 allowed=4",
    "finalizer: waits",
    "finalizer taken away: NotFound",
    "watched: ADDED x, MODIFIED x, DELETED x",
    "watched by label: ADDED x, DELETED x",
]


def config_map(name: str, data: Raw, **head: Any) -> Raw:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **head}, "data": data}


class Conversation:
    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.key = Key(namespace, "x")
        self.said: list[str] = []
        self.version = ""

    async def all(self) -> list[str]:
        for part in (
            self.creating,
            self.applying,
            self.patching,
            self.replacing,
            self.deleting,
            self.listing,
            self.generations,
            self.watching,
        ):
            await part()
        return self.said

    async def try_(self, what: str, call: Awaitable[Any]) -> Any:
        try:
            raw = await call
        except ApiError as error:
            self.said.append(f"{what}: {type(error).__name__}")
            return None
        if raw is None:
            self.said.append(f"{what}: gone")
            return None
        same = "=" if resource_version(raw) == self.version else ""
        self.version = resource_version(raw)
        self.said.append(f"{what}: {same}" + " ".join(f"{name}={text}" for name, text in sorted(raw.get("data", {}).items())))
        return raw

    async def creating(self) -> None:
        made = await self.try_("create", self.client.create(MAPS, config_map("x", {"a": "1", "b": "2"}), namespace=self.namespace))
        self.uid = uid_of(made)
        await self.try_("create again", self.client.create(MAPS, config_map("x", {}), namespace=self.namespace))
        elsewhere = config_map("w", {}, namespace="kube-public")
        await self.try_("create elsewhere than it says", self.client.create(MAPS, elsewhere, namespace=self.namespace))
        await self.try_("get", self.client.get(MAPS, self.key))
        await self.try_("get what is not there", self.client.get(MAPS, Key(self.namespace, "none")))

    async def apply(self, what: str, data: Raw, *, name: str = "x", manager: str | None = None, force: bool = True, **head: Any) -> Any:
        body = config_map(name, data, namespace=self.namespace, **head)
        return await self.try_(what, self.client.apply(MAPS, Key(self.namespace, name), body, force=force, field_manager=manager))

    async def applying(self) -> None:
        await self.apply("apply the same", {"a": "1", "b": "2"}, uid=self.uid)
        await self.apply("apply less than was created", {"a": "1"}, uid=self.uid)
        await self.apply("apply more", {"a": "1", "c": "3"})
        await self.apply("apply less than was applied", {"a": "1"})
        await self.apply("apply the same again", {"a": "1"})
        await self.apply("apply against another manager, not by force", {"a": "9"}, manager="other", force=False)
        await self.apply("apply against another manager", {"a": "9"}, manager="other")
        await self.apply("apply to another object", {"a": "1"}, uid="another")
        await self.apply("apply to an earlier version", {"a": "1"}, resourceVersion="1")
        await self.apply("apply what is gone, by uid", {"a": "1"}, name="gone", uid=self.uid)
        made = await self.apply("apply what is not there", {"a": "1"}, name="new")
        await self.client.delete(MAPS, Key(self.namespace, "new"), uid=uid_of(made))

    async def patch(self, what: str, *operations: Raw) -> Any:
        return await self.try_(what, self.client.json_patch(MAPS, self.key, list(operations)))

    async def patching(self) -> None:
        replaced = {"op": "replace", "path": "/data/a", "value": "8"}
        await self.patch("patch with a test that fails", {"op": "test", "path": "/data/a", "value": "no"}, replaced)
        await self.patch("patch what is not there", {"op": "remove", "path": "/data/none"})
        await self.patch("patch to another uid", {"op": "add", "path": "/metadata/uid", "value": "another"}, replaced)
        await self.patch("patch an earlier version", {"op": "add", "path": "/metadata/resourceVersion", "value": "1"}, replaced)
        await self.patch("patch with a test that holds", {"op": "test", "path": "/metadata/uid", "value": self.uid}, replaced)
        await self.patch("patch nothing", replaced)
        await self.try_("merge", self.client.merge_patch(MAPS, self.key, {"data": {"b": None, "q": "1"}}))
        late = {"metadata": {"resourceVersion": "1"}, "data": {"z": "1"}}
        await self.try_("merge an earlier version", self.client.merge_patch(MAPS, self.key, late))

    async def replacing(self) -> None:
        for what, head in (("an earlier version", {"resourceVersion": "1"}), ("another object", {"uid": "another"})):
            await self.try_(f"replace {what}", self.client.replace(MAPS, self.key, config_map("x", {"a": "1"}, **head)))
        for what in ("replace", "replace with the same"):
            await self.try_(what, self.client.replace(MAPS, self.key, config_map("x", {"a": "1"})))

    async def deleting(self) -> None:
        await self.try_("delete another object", self.client.delete(MAPS, self.key, uid="another"))
        await self.try_("delete an earlier version", self.client.delete(MAPS, self.key, uid=self.uid, resource_version="1"))
        for what in ("delete", "delete again"):
            await self.try_(what, self.client.delete(MAPS, self.key, uid=self.uid))

    async def list_(self, what: str, **options: Any) -> Any:
        try:
            page = await self.client.list_page(MAPS, namespace=self.namespace, **options)
        except ApiError as error:
            self.said.append(f"{what}: {type(error).__name__} {error.reason}".removesuffix(" BadRequest"))
            return None
        self.said.append(f"{what}: " + " ".join(raw["metadata"]["name"] for raw in page.items))
        return page

    async def listing(self) -> None:
        for name, colour in (("x", "red"), ("y", "red"), ("z", "blue")):
            await self.client.create(MAPS, config_map(name, {}, labels={"colour": colour}), namespace=self.namespace)
        one = await self.client.list_page(MAPS, namespace=self.namespace, label_selector="colour", limit=2)
        self.said.append(f"page one: {len(one.items)} " + ("more" if one.continue_ else "done"))
        two = await self.client.list_page(MAPS, namespace=self.namespace, label_selector="colour", limit=2, continue_=one.continue_)
        self.said.append(f"page two: {len(two.items)} " + ("more" if two.continue_ else "done"))
        await self.list_("labelled", label_selector="colour=red")
        await self.list_("labelled otherwise", label_selector="colour!=red,colour")
        await self.list_("with any such label", label_selector="colour in (red, blue)")
        await self.list_("by name", field_selector="metadata.name=y")
        await self.list_("by an unknown field", field_selector="data.x=y")
        raw = (await self.client.list_page(MAPS, namespace=self.namespace, label_selector="colour", metadata_only=True)).items[0]
        self.said.append("metadata only: " + " ".join(sorted(raw)))
        await self.list_("list of the future", resource_version="999999999")

    async def generations(self) -> None:
        client, key = self.client, Key(self.namespace, "b")
        made = await client.create(BUDGETS, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1}}, namespace=self.namespace)
        self.generation("when made", made)
        self.generation("after metadata", await client.merge_patch(BUDGETS, key, {"metadata": {"labels": {"a": "b"}}}))
        counts = {"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 3}
        self.generation("after status", await client.merge_patch(BUDGETS, key, {"status": counts}, subresource="status"))
        self.generation("after spec", await client.merge_patch(BUDGETS, key, {"spec": {"minAvailable": 2}}))
        both = {"spec": {"minAvailable": 2}, "status": {**counts, "disruptionsAllowed": 4}}
        raw = await client.merge_patch(BUDGETS, key, both)
        self.said.append(f"status is not written with the spec: {shown(raw)}")
        raw = await client.merge_patch(BUDGETS, key, {**both, "spec": {"minAvailable": 7}}, subresource="status")
        self.said.append(f"spec is not written with the status: {shown(raw)}")
        await self.finalizing(key, uid_of(made))

    def generation(self, when: str, raw: Raw) -> None:
        self.said.append(f"generation {when}: {shown(raw)}")

    async def finalizing(self, key: Key, uid: str) -> None:
        await self.client.merge_patch(BUDGETS, key, {"metadata": {"finalizers": ["groyne.dev/test"]}})
        await self.client.delete(BUDGETS, key, uid=uid)
        raw = await self.client.get(BUDGETS, key)
        self.said.append("finalizer: " + ("waits" if raw["metadata"].get("deletionTimestamp") else "does not wait"))
        await self.client.merge_patch(BUDGETS, key, {"metadata": {"finalizers": None}})
        await self.try_("finalizer taken away", self.client.get(BUDGETS, key))

    async def watching(self) -> None:
        """`x` is there with a label; it is made anew, changed so that it has none, and deleted."""
        client = self.client
        for name in ("y", "z"):
            await self.drop(name)
        await self.drop("x")
        version = (await client.list_page(MAPS, namespace=self.namespace)).resource_version
        await client.create(MAPS, config_map("x", {}, labels={"colour": "red"}), namespace=self.namespace)
        await client.merge_patch(MAPS, self.key, {"metadata": {"labels": None}})
        await self.drop("x")
        self.said.append("watched: " + await self.watch(version, 3, ""))
        self.said.append("watched by label: " + await self.watch(version, 2, "colour"))

    async def drop(self, name: str) -> None:
        key = Key(self.namespace, name)
        await self.client.delete(MAPS, key, uid=uid_of(await self.client.get(MAPS, key)))

    async def watch(self, version: str, count: int, selector: str) -> str:
        seen = []
        opening = self.client.watch(MAPS, namespace=self.namespace, label_selector=selector, resource_version=version, timeout_seconds=60)
        async with opening as events:
            async for event in events:
                seen.append(f"{event.type} {event.object['metadata']['name']}")
                if len(seen) == count:
                    break
        return ", ".join(seen)


def shown(raw: Raw) -> str:
    allowed = raw.get("status", {}).get("disruptionsAllowed")
    return f"{generation(raw)}" + (f" allowed={allowed}" if allowed else "")
