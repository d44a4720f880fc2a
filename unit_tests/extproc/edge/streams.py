"""A desk behind a real server of either transport, and a client of it that speaks in bytes."""

import asyncio
from contextlib import asynccontextmanager

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from extproc.edge.asgi import PATH
from extproc.edge.listening import TRANSPORTS, Place

LINES = {":method": "GET", ":scheme": "https", ":path": "/", ":authority": "h.test"}


def headers(*, more=(), **lines) -> bytes:
    given = [*(LINES | lines).items(), *more]
    found = base_pb2.HeaderMap(headers=[base_pb2.HeaderValue(key=key, raw_value=value.encode()) for key, value in given])
    return pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=found, end_of_stream=True)).SerializeToString()


@asynccontextmanager
async def serving(desk, transport, directory, *, drain=1.0):
    """The address of a server that is up."""
    bind = f"unix:{directory}/{transport}.sock"
    listening = TRANSPORTS[transport](desk, Place(bind=bind, drain=drain))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listening.run())
        await listening.started()
        try:
            yield bind
        finally:
            listening.stop()
            await running


@asynccontextmanager
async def calling(address):
    """`Process`, whose messages are bytes."""
    async with grpc.aio.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        yield channel.stream_stream(PATH)


async def until(true, what="it holds", *, within=20):
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110 - the other side of a connection tells nobody
            await asyncio.sleep(0.01)
    assert true(), what
