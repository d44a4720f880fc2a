"""Spans → a collector, by OTLP over gRPC: in batches, once a second, with one attempt each. What does not arrive is counted.

In: the tracer's queue. Out: `ExportTraceServiceRequest`s. Their types come with Envoy's, in an edition with older names for what is the
same on the wire (a scope is called instrumentation library); a package of OpenTelemetry's own would be a second owner of these files.
Imported only where somebody traces. Nothing waits for it: a collector that is slow or away costs spans, never a request.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import NoReturn
from urllib.parse import urlsplit

import grpc
from grpc import aio
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from extproc.tracing import Lost, Span, Tracer

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
NAME = "groyne-ext-proc"
EVERY = 1.0
MOST = 512
TIMEOUT = 5.0
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 10_000))

log = logging.getLogger(__name__)


class Exporter:
    """`endpoint` is `http://HOST:PORT`, or `https://HOST:PORT` with the system's roots."""

    def __init__(self, endpoint: str, tracer: Tracer, *, sent: Callable[[int], None], lost: Lost) -> None:
        self._endpoint, self._tracer, self._sent, self._lost = endpoint, tracer, sent, lost
        self._resource = resource()
        self._away = False

    async def run(self) -> NoReturn:
        async with self._channel() as channel:
            while True:
                await self._flush(channel)
                await asyncio.sleep(EVERY)

    async def drain(self, seconds: float) -> None:
        """What waits is sent, or has had its time."""
        try:
            async with asyncio.timeout(seconds), self._channel() as channel:
                await self._flush(channel)
        except TimeoutError:
            self._lost(len(self._tracer.take(len(self._tracer))))

    def _channel(self) -> aio.Channel:
        url = urlsplit(self._endpoint)
        if url.scheme == "https":
            return aio.secure_channel(url.netloc, grpc.ssl_channel_credentials(), options=OPTIONS)
        return aio.insecure_channel(url.netloc, options=OPTIONS)

    async def _flush(self, channel: aio.Channel) -> None:
        export = channel.unary_unary(EXPORT)
        while spans := self._tracer.take(MOST):
            try:
                await export(request(self._resource, spans).SerializeToString(), timeout=TIMEOUT)
            except aio.AioRpcError as error:
                self._lost(len(spans))
                self._note(error.code().name)
            else:
                self._sent(len(spans))
                self._note("")

    def _note(self, why: str) -> None:
        """Once for each time that it goes away, or is back: what a collector says may be anything."""
        if why and not self._away:
            log.warning("the collector of traces takes no spans: they are dropped", extra={"status": why})
        elif self._away and not why:
            log.info("the collector of traces takes spans again")
        self._away = bool(why)


def resource() -> resource_pb2.Resource:
    instance = f"{socket.gethostname()}-{os.getpid()}"
    known = {"service.name": NAME, "service.version": version("groyne"), "service.instance.id": instance}
    return resource_pb2.Resource(attributes=[text(key, value) for key, value in known.items()])


def request(source: resource_pb2.Resource, spans: Sequence[Span]) -> trace_service_pb2.ExportTraceServiceRequest:
    library = common_pb2.InstrumentationLibrary(name="groyne")
    scoped = trace_pb2.InstrumentationLibrarySpans(instrumentation_library=library, spans=[written(span) for span in spans])
    whole = trace_pb2.ResourceSpans(resource=source, instrumentation_library_spans=[scoped])
    return trace_service_pb2.ExportTraceServiceRequest(resource_spans=[whole])


def written(span: Span) -> trace_pb2.Span:
    attributes = [text("groyne.outcome", span.outcome)]
    attributes += [text(key, value) for key, value in (("groyne.reason", span.reason), ("groyne.rule", span.rule)) if value]
    attributes += [texts(key, values) for key, values in (("groyne.actions", span.actions), ("groyne.cache", span.cache)) if values]
    return trace_pb2.Span(
        trace_id=span.trace,
        span_id=span.span,
        parent_span_id=span.parent,
        name="decide",
        kind=trace_pb2.Span.SPAN_KIND_SERVER,
        start_time_unix_nano=span.begin,
        end_time_unix_nano=span.end,
        attributes=attributes,
    )


def text(key: str, value: str) -> common_pb2.KeyValue:
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))


def texts(key: str, values: Iterable[str]) -> common_pb2.KeyValue:
    items = [common_pb2.AnyValue(string_value=value) for value in values]
    return common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(array_value=common_pb2.ArrayValue(values=items)))
