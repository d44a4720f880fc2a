"""gRPC's health service, by whom kubelets and Envoys ask, and reflection."""

import asyncio

import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from extproc.edge.grpcio_server import HealthServer
from extproc.edge.protocol import SERVICE

SERVING, NOT, UNKNOWN = (getattr(health_pb2.HealthCheckResponse, name) for name in ("SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"))


def served(story):
    async def main():
        server = HealthServer(bind="127.0.0.1:0")
        port = await server.start()
        try:
            async with aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(20):
                await story(server, channel, health_pb2_grpc.HealthStub(channel))
        finally:
            await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("service", ["", SERVICE])
def test_it_is_not_ready_until_told_so(service):
    """For the process as for its one service."""

    async def story(server, channel, stub):
        ask = health_pb2.HealthCheckRequest(service=service)
        assert (await stub.Check(ask)).status == NOT
        await server.ready(ready=True)
        assert (await stub.Check(ask)).status == SERVING
        await server.ready(ready=False)
        assert (await stub.Check(ask)).status == NOT

    served(story)


def test_who_watches_is_told_of_each_turn():
    """Until the process ends, when it is not ready any more."""

    async def story(server, channel, stub):
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        assert (await watching.read()).status == NOT
        await server.ready(ready=True)
        assert (await watching.read()).status == SERVING
        ending = asyncio.ensure_future(server.stop())
        assert (await watching.read()).status == NOT
        watching.cancel()
        await ending

    served(story)


def test_services_are_listed():
    """With how each is."""

    async def story(server, channel, stub):
        await server.ready(ready=True)
        found = (await stub.List(health_pb2.HealthListRequest())).statuses
        assert found[SERVICE].status == SERVING

    served(story)


def test_it_says_which_manifests_are_decided_by():
    """Whoever wrote them asks for them by name; those before are not in force."""

    async def story(server, channel, stub):
        async def status(version):
            try:
                return (await stub.Check(health_pb2.HealthCheckRequest(service=f"manifests/{version}"))).status
            except aio.AioRpcError:
                return UNKNOWN

        assert await status("1") == UNKNOWN
        await server.decides_by("1")
        assert await status("1") == SERVING
        await server.decides_by("2")
        assert (await status("1"), await status("2")) == (NOT, SERVING)
        for number in range(3, 20):
            await server.decides_by(str(number))
        assert (await status("17"), await status("18"), await status("19")) == (UNKNOWN, NOT, SERVING)

    served(story)


def test_reflection_names_the_services():
    """For people with grpcurl."""

    async def story(server, channel, stub):
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        )
        async for answer in call:
            names = {each.name for each in answer.list_services_response.service}
            assert {SERVICE, "grpc.health.v1.Health"} <= names

    served(story)


def test_an_address_that_is_taken_is_said():
    """As an OSError, with the address."""

    async def story(server, channel, stub):
        with pytest.raises(OSError, match="cannot listen"):
            await HealthServer(bind="256.0.0.1:1").start()

    served(story)
