"""What a collector gets: every span once, in OTLP's own numbers, and nothing that a request or a credential held."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client import CollectorRegistry

from extproc.edge.otlp import EXPORT, Exporter
from extproc.metrics import ExtprocMetrics
from extproc.providers.cache import CachedProvider
from extproc.tracing import Tracer
from unit_tests.extproc.desks import POD, TOKEN, Desk, Provider, sources
from unit_tests.extproc.edge.streams import calling, headers, serving, until
from unit_tests.extproc.envoy import MODE, Arriving, Envoy, Filter
from unit_tests.policy.profiles import block, rule

SECRETS = (
    "sk-issued-credential",
    "sandbox-proof",
    "client-1",
    "hidden-header",
    "hidden-query",
    "hidden-path",
    "hidden.example",
    "hidden-body",
)

SINCE = 1_800_000_000.0


class Collector:
    def __init__(self, *, refuses=False):
        self.requests, self.refuses = [], refuses

    @asynccontextmanager
    async def up(self):
        server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(self.export)
        service, _, name = EXPORT.strip("/").partition("/")
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: method}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await server.stop(0)

    async def export(self, data, context):
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "; ".join(SECRETS))
        self.requests.append(data)
        return b""

    @property
    def wholes(self):
        found = (trace_service_pb2.ExportTraceServiceRequest.FromString(data) for data in self.requests)
        return [whole for each in found for whole in each.resource_spans]

    @property
    def instances(self):
        return {each.value.string_value for whole in self.wholes for each in whole.resource.attributes if each.key == "service.instance.id"}

    @property
    def spans(self):
        return [span for whole in self.wholes for part in whole.instrumentation_library_spans for span in part.spans]


def traced(**more):
    lost = []
    tracer = Tracer(ratio=1.0, clock=time.monotonic, offset=lambda: SINCE, random=os.urandom, lost=lost.append, **more)
    return tracer, lost


def said(span):
    def value(each):
        return [item.string_value for item in each.array_value.values] or each.string_value

    return {each.key: value(each.value) for each in span.attributes}


def exchange():
    return {"credentialRef": {"credentialProvider": {"name": "vault"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}


def test_the_numbers_on_the_wire_are_those_of_otlp_one():
    """opentelemetry-proto 1.x: trace.proto, common.proto; a name is no matter of the wire."""
    numbers = {
        trace_service_pb2.ExportTraceServiceRequest: {"resource_spans": 1},
        trace_pb2.ResourceSpans: {"resource": 1, "instrumentation_library_spans": 2},
        trace_pb2.InstrumentationLibrarySpans: {"instrumentation_library": 1, "spans": 2},
        trace_pb2.Span: {
            "trace_id": 1,
            "span_id": 2,
            "parent_span_id": 4,
            "name": 5,
            "kind": 6,
            "start_time_unix_nano": 7,
            "end_time_unix_nano": 8,
            "attributes": 9,
        },
        common_pb2.KeyValue: {"key": 1, "value": 2},
        common_pb2.AnyValue: {"string_value": 1, "array_value": 5},
        common_pb2.ArrayValue: {"values": 1},
    }
    for message, fields in numbers.items():
        assert {name: message.DESCRIPTOR.fields_by_name[name].number for name in fields} == fields
    assert trace_pb2.Span.SPAN_KIND_SERVER == 2


def test_a_decision_with_a_credential_is_told_without_it(caplog):
    caplog.set_level(logging.DEBUG)
    collector, (tracer, lost) = Collector(), traced()
    counted = []

    async def live():
        provider = Provider(vault={"apiKey": "sk-issued-credential"})
        async with CachedProvider(provider, observer=ExtprocMetrics(CollectorRegistry()), ttl=60, most=10, timeout=1) as cached:
            desk = Desk(sources(rule("key", tokenTransformation=exchange())), provider=cached, told=(tracer.tell,))
            arriving = Arriving(
                lines=(
                    (":method", "POST"),
                    (":scheme", "https"),
                    (":authority", "hidden.example"),
                    (":path", "/hidden-path?hidden-query"),
                    ("x-secret", "hidden-header"),
                ),
                chunks=(b"hidden-body",),
                attributes=POD | {"filter_state['sandbox.token']": TOKEN},
            )
            for _ in range(2):
                answer = await Envoy(Filter(body=MODE.NONE), arriving).ask(desk)
                assert answer.headers["authorization"] == "Bearer sk-issued-credential"
        async with collector.up() as endpoint:
            await Exporter(endpoint, tracer, sent=counted.append, lost=lost.append).drain(5)

    asyncio.run(live())
    assert [said(span)["groyne.cache"] for span in collector.spans] == [["miss"], ["hit"]]
    assert {said(span)["groyne.outcome"] for span in collector.spans} == {"mutated"}
    assert all(span.end_time_unix_nano >= span.start_time_unix_nano >= SINCE * 10**9 for span in collector.spans)
    assert (sum(counted), lost) == (2, [])
    seen = b"".join(collector.requests) + caplog.text.encode()
    assert [secret for secret in SECRETS if secret.encode() in seen] == []


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_spans_leave_while_the_process_runs(transport, tmp_path):
    collector, (tracer, lost) = Collector(), traced()

    async def live():
        desk = Desk(sources(rule("never", block=block())), allow_unknown=True, told=(tracer.tell,))
        async with collector.up() as endpoint, asyncio.TaskGroup() as group:
            running = group.create_task(Exporter(endpoint, tracer, sent=lambda _: None, lost=lost.append).run())
            async with serving(desk, transport, tmp_path) as address, calling(address) as process:
                call = process()
                await call.write(headers(more=[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]))
                await call.read()
                await call.done_writing()
                await until(lambda: bool(collector.requests))
            running.cancel()

    asyncio.run(live())
    (span,) = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert said(span) == {"groyne.outcome": "passthrough"}
    assert lost == []


def test_a_collector_that_refuses_or_is_away_costs_spans_and_is_logged_once_without_its_words(caplog):
    collector, (tracer, lost) = Collector(refuses=True), traced()

    async def live():
        desk = Desk(sources(), allow_unknown=True, told=(tracer.tell,))
        arriving = Arriving(lines=((":method", "GET"), (":scheme", "https"), (":authority", "h.test"), (":path", "/")))
        async with collector.up() as endpoint:
            exporter = Exporter(endpoint, tracer, sent=lambda _: None, lost=lost.append)
            for _ in range(3):
                await Envoy(Filter(), arriving).ask(desk)
                await exporter.drain(5)
        await Envoy(Filter(), arriving).ask(desk)
        await exporter.drain(5)

    asyncio.run(live())
    assert (sum(lost), len(tracer)) == (4, 0)
    assert [record.levelname for record in caplog.records if record.name == "extproc.edge.otlp"] == ["WARNING"]
    assert not any(secret in caplog.text for secret in SECRETS)


def test_who_does_not_trace_imports_nothing_for_it():
    code = "import sys, extproc.run; sys.exit(any(name.startswith('opentelemetry.proto.collector') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
