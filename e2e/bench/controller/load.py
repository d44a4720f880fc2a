"""Writes a case's objects into the API server, many at once, and one profile's edit.

With our own client, as an administrator: how fast that is says nothing about the controller.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from daemon.kinds import PROFILES, SECRETS, TEMPLATES
from e2e.bench.controller.cases import NAMESPACE, TOKEN_SECRET, Case, profile_of, template_of
from e2e.bench.policies import Raw
from e2e.cluster import Cluster
from e2e.kubernetes.controller_process import ACCOUNT
from e2e.kubernetes.controller_process import NAMESPACE as SYSTEM
from kube.client import Client
from kube.objects import Resource
from kube.transport import Transport

AT_ONCE = 16


@asynccontextmanager
async def client_of(kubeconfig: Path, name: str = "bench") -> AsyncIterator[Client]:
    transport = await Transport.connect(kubeconfig=str(kubeconfig), user_agent=name)
    try:
        yield Client(transport, field_manager=name, deadline=30)
    finally:
        await transport.close()


def fill(cluster: Cluster, case: Case) -> None:
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "groyne.dev/secrets=managed")
    account = f"--serviceaccount={SYSTEM}:{ACCOUNT}"
    cluster.kubectl("create", "rolebinding", "groyne", "--clusterrole=groyne-namespace", account, "-n", NAMESPACE)
    asyncio.run(write(cluster.kubeconfig, case))


async def write(kubeconfig: Path, case: Case) -> None:
    async with client_of(kubeconfig) as client:
        await client.create(SECRETS, TOKEN_SECRET, namespace=NAMESPACE)
        await created(client, TEMPLATES, (template_of(number) for number in range(case.count)))
        await created(client, PROFILES, (profile_of(number, case.kind) for number in range(case.profiles)))


async def created(client: Client, resource: Resource, bodies: Iterable[Raw], *, at_once: int = AT_ONCE) -> None:
    waiting = iter(bodies)

    async def work() -> None:
        for body in waiting:
            await client.create(resource, body, namespace=NAMESPACE)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())
