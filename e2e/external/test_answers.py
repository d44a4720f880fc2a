"""Wrong, late and missing answers of ext-proc, with a real Envoy: what nobody decided is not sent, whatever went wrong."""

import asyncio
import json
import time

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from dataplane.external_settings import Body, ExternalSettings
from e2e.external.rig import HOST, headers_decided, rig
from e2e.support.waiting import until
from unit_tests.dataplane.policies import issued, rule

pytestmark = pytest.mark.timeout(60)


async def decides(messages, context):
    async for _ in messages:
        yield headers_decided(x_team="harbour")


async def aborts(messages, context):
    async for _ in messages:
        await context.abort(grpc.StatusCode.INTERNAL, "a secret of the provider")
        yield headers_decided()


async def ends_cleanly(messages, context):
    """Envoy takes that for consent."""
    async for _ in messages:
        return
        yield headers_decided()


async def never_answers(messages, context):
    async for _ in messages:
        await asyncio.sleep(60)
        yield headers_decided()


async def says_nothing(messages, context):
    """An answer, but no decision in it."""
    async for _ in messages:
        yield headers_decided("")


async def answers_another_phase(messages, context):
    async for _ in messages:
        response = pb.ProcessingResponse()
        response.request_body.SetInParent()
        yield response


async def writes_the_host(messages, context):
    async for _ in messages:
        yield headers_decided(host="elsewhere.test")


async def writes_internal_headers(messages, context):
    async for _ in messages:
        yield headers_decided(x_groyne_names="a|b")


async def writes_an_impossible_value(messages, context):
    async for _ in messages:
        yield headers_decided(x_team="a\r\nhost: b")


REFUSED = [
    aborts, ends_cleanly, never_answers, says_nothing, answers_another_phase, writes_the_host, writes_internal_headers,
    writes_an_impossible_value,
]  # fmt: skip


def reason(body):
    return json.loads(body)["reason"] if body.startswith(b"{") else body


QUICK = ExternalSettings(message_timeout=0.5)


def test_a_decision_is_carried_out(tmp_path):
    """And what no rule for ext-proc can match does not wait for one."""
    with rig(tmp_path, decides) as at:
        assert at.ask()[0] == 200
        assert at.upstream.received[-1].header("x-team") == "harbour"
        assert at.ask("/other")[0] == 200
        assert at.upstream.received[-1].header("x-team") is None
        assert not [name for name, _ in at.upstream.received[0].headers if name.startswith("x-groyne-")]


@pytest.mark.parametrize("playing", REFUSED)
def test_without_a_decision_nothing_is_sent(playing, tmp_path):
    """503 with our body, nothing of what was said in it; other routes go on."""
    with rig(tmp_path, playing, settings=QUICK) as at:
        status, body = at.ask()
        assert (status, reason(body)) == (503, "ExtProcUnavailable"), body
        assert b"secret" not in body
        assert at.ask("/other")[0] == 200
        assert [each.target for each in at.upstream.received] == ["/other"]


def test_an_answer_within_its_time_is_waited_for(tmp_path):
    """A provider may be asked meanwhile."""

    async def slow(messages, context):
        async for _ in messages:
            await asyncio.sleep(0.4)
            yield headers_decided()

    with rig(tmp_path, slow, settings=ExternalSettings(message_timeout=3)) as at:
        assert at.ask()[0] == 200


def test_its_time_is_the_operators(tmp_path):
    """And so is the status."""
    with rig(tmp_path, never_answers, settings=ExternalSettings(message_timeout=0.3, status_on_error=429)) as at:
        begun = time.monotonic()
        status, body = at.ask()
        assert (status, json.loads(body)["reason"]) == (429, "ExtProcUnavailable")
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("playing", [aborts, never_answers])
def test_an_operator_may_let_requests_pass(playing, tmp_path):
    """failOpen says what it does."""
    with rig(tmp_path, playing, settings=ExternalSettings(fail_open=True, message_timeout=0.3)) as at:
        assert at.ask()[0] == 200


def test_in_shadow_mode_nobody_waits(tmp_path):
    """Requests are shown; answers are not heard."""
    shown = []

    async def watches(messages, context):
        async for message in messages:
            shown.append(message.WhichOneof("request"))
            await asyncio.sleep(30)
            yield headers_decided()

    with rig(tmp_path, watches, settings=ExternalSettings(shadow_mode=True, body=Body.NONE)) as at:
        assert at.ask()[0] == 200
        assert at.upstream.received[0].header("x-team") is None
        until(lambda: shown, "ext-proc was not asked", 15)
        assert shown == ["request_headers"]


def test_a_refusal_looks_as_ext_proc_wrote_it(tmp_path):
    """Also with statuses that Envoy itself answers malformed requests with."""

    async def refuses(messages, context):
        async for message in messages:
            status = next(each.raw_value for each in message.request_headers.headers.headers if each.key == "x-status")
            response = pb.ProcessingResponse()
            response.immediate_response.status.code = int(status)
            response.immediate_response.body = b"own words"
            response.immediate_response.details = "groyne_Blocked"
            response.dynamic_metadata.update({"groyne.dev": {"verdict": "blocked", "rule": "a/b", "reason": "Blocked"}})
            yield response

    with rig(tmp_path, refuses) as at:
        for status in (200, 400, 404, 413, 426, 431, 501, 503):
            assert at.ask(x_status=str(status)) == (status, b"own words")
        assert at.upstream.received == []


def test_what_it_is_told(tmp_path):
    """Who asks, by metadata; the attributes that identity and expressions read; the request as it will be sent."""
    told = []

    async def listens(messages, context):
        metadata = dict(context.invocation_metadata())
        async for message in messages:
            told.append((metadata, message))
            yield headers_decided()

    with rig(tmp_path, listens) as at:
        at.ask("/v1/x?q=1", x_a="b", x_groyne_names="forged", x_envoy_original_path="/forged")
    metadata, message = told[0]
    assert not {"x-envoy-internal", "x-forwarded-for"} & metadata.keys()
    assert "x-groyne-identity" in metadata
    headers = {line.key: line.raw_value.decode() for line in message.request_headers.headers.headers}
    assert (headers[":path"], headers["x-a"], headers[":scheme"]) == ("/v1/x?q=1", "b", "http")
    assert headers[":authority"].startswith(HOST)
    assert headers["x-groyne-names"] != "forged"
    assert "x-envoy-original-path" not in headers
    attributes = message.attributes["envoy.filters.http.ext_proc"].fields
    assert attributes["request.protocol"].string_value == "HTTP/1.1"
    assert attributes["source.address"].string_value.startswith("127.0.0.1:")
    assert json.loads(attributes["xds.route_name"].string_value) == ["extproc"]


def test_bodies_come_whole_where_a_tool_policy_reads_them(tmp_path):
    """And nowhere else; one that Envoy cannot hold is refused."""
    tools = {"mcpToolPolicy": {"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "allow"}]}}
    came = []

    async def reads(messages, context):
        async for message in messages:
            kind = message.WhichOneof("request")
            came.append(len(message.request_body.body) if kind == "request_body" else kind)
            response = headers_decided()
            if kind == "request_body":
                response.request_headers.Clear()
                response.request_body.SetInParent()
            yield response

    rules = (issued("vault", HOST), rule("tools", HOST, actions=tools, paths=[{"type": "Prefix", "value": "/mcp"}]))
    with rig(tmp_path, reads, *rules) as at:
        assert at.ask("/mcp", method="POST", body=b"x" * 70_000)[0] == 200
        assert at.ask("/upload", method="POST", body=b"x" * 3_000_000)[0] == 200
        assert at.ask("/mcp", method="POST", body=b"x" * 3_000_000)[0] == 413
    assert came[:3] == ["request_headers", 70_000, "request_headers"]
    assert [len(each.body) for each in at.upstream.received] == [70_000, 3_000_000]


def test_the_log_says_what_was_decided(tmp_path):
    """Verdict and rule as ext-proc names them."""
    with rig(tmp_path, decides) as at:
        at.ask()
        until(lambda: at.log.exists() and at.log.read_text(), "nothing was written", 15)
        line = json.loads(at.log.read_text().splitlines()[0])
    assert line["decided"] == {"verdict": "mutated", "rule": ""}


def test_a_signature_in_the_query_is_sent(tmp_path):
    """The target may change, and the host that it goes to may not."""

    async def signs(messages, context):
        async for _ in messages:
            response = headers_decided()
            option = response.request_headers.response.header_mutation.set_headers.add(append_action=2)
            option.header.key, option.header.raw_value = ":path", b"/v1/x?Signature=a%2Fb"
            yield response

    with rig(tmp_path, signs) as at:
        assert at.ask("/v1/x?Signature=old")[0] == 200
        assert at.upstream.received[-1].target == "/v1/x?Signature=a%2Fb"
        assert at.upstream.received[-1].host == HOST


def test_a_connection_that_is_upgraded_is_decided_first(tmp_path):
    """A WebSocket's request is a request like any other; what follows is not shown."""
    shown = []

    async def decides_once(messages, context):
        async for message in messages:
            shown.append(message.WhichOneof("request"))
            yield headers_decided(x_team="harbour")

    with rig(tmp_path, decides_once) as at:
        at.ask(connection="Upgrade", upgrade="websocket", sec_websocket_version="13", sec_websocket_key="x" * 24)
        assert at.upstream.received[-1].header("x-team") == "harbour"
    assert shown == ["request_headers"]
