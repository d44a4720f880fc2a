"""What the API server and our client need for the writes alone: python -m e2e.bench.controller.floor KUBECONFIG AT-ONCE.

Every NetworkPolicy that is there is created once more under another name, every SandboxTemplate given one more label, in the way and with as many calls at
once as the controller does it, and with nothing to think about. Out comes one JSON object on standard output.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from daemon.kinds import NETWORK_POLICIES, TEMPLATES
from e2e.bench.controller.cases import NAMESPACE
from e2e.bench.controller.load import client_of, created
from e2e.bench.policies import Raw
from kube.client import Client
from kube.objects import Key, Resource, key_of

LABEL = "bench.groyne.dev/floor"


async def floor(kubeconfig: Path, at_once: int) -> dict[str, float]:
    async with client_of(kubeconfig, "floor") as client:
        policies, templates = await everything(client, NETWORK_POLICIES), await everything(client, TEMPLATES)
        keys = [key_of(each) for each in templates]
        began, cpu = time.monotonic(), cpu_seconds()
        await created(client, NETWORK_POLICIES, map(copied, policies), at_once=at_once)
        await each_of(keys, lambda key: labelled(client, key), at_once=at_once)
        return {"writes": len(policies) + len(keys), "seconds": time.monotonic() - began, "cpu": cpu_seconds() - cpu}


async def everything(client: Client, kind: Resource) -> list[Raw]:
    return (await client.list_page(kind, namespace=NAMESPACE, limit=0)).items


def copied(policy: Raw) -> Raw:
    head = {name: policy["metadata"][name] for name in ("labels", "ownerReferences")}
    return {**policy, "metadata": {**head, "name": f"{policy['metadata']['name']}-copy"}}


async def labelled(client: Client, key: Key) -> None:
    head = {"name": key.name, "namespace": key.namespace, "labels": {LABEL: "seen"}}
    await client.apply(TEMPLATES, key, {"apiVersion": TEMPLATES.api_version, "kind": TEMPLATES.kind, "metadata": head})


async def each_of(keys: Iterable[Key], do: Callable[[Key], Awaitable[None]], *, at_once: int) -> None:
    waiting = iter(keys)

    async def work() -> None:
        for key in waiting:
            await do(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asyncio.run(floor(Path(sys.argv[1]), int(sys.argv[2])))))
