"""Bodies in full duplex: Envoy sends each part on as it comes and forgets it, so that what reaches the host is what the real ext-proc gives back."""

import http.client
import json
from collections.abc import Iterator

import pytest

from e2e.external.test_faults import HOST, POLICY, Run
from e2e.support.serving import serving
from e2e.support.upstream import serve

pytestmark = pytest.mark.timeout(120)
STRICT = POLICY.replace("defaultAction: allow, rules: [{method: tools/call, action: allow}]", "defaultAction: deny, rules: RULES")
RULES = "[{method: tools/call, action: allow, toolNames: [read_file]}]"
MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}
PART = 7_000


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    policy = tmp_path_factory.mktemp("duplex")
    (policy / "policy.yaml").write_text(STRICT.replace("RULES", RULES))
    given = ("--no-isolate", "--ext-proc-filter", "body=FullDuplexStreamed", "--ext-proc-filter", "allowModeOverride=true")
    with serve() as upstream, serving(policy, resolve=upstream.resolve(HOST), options=given) as found:
        yield Run(serving=found, upstream=upstream, audit=policy / "none")


def call(tool: str, size: int) -> bytes:
    arguments = {"text": "x" * size}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}).encode()


def post(at: Run, path: str, body: bytes, *, chunked: bool) -> int:
    at.upstream.received.clear()
    connection = http.client.HTTPConnection(*at.serving.address, timeout=15)
    parts = (body[start : start + PART] for start in range(0, len(body), PART))
    target = f"http://{at.upstream.at(HOST)}{path}"
    connection.request("POST", target, body=parts if chunked else body, headers=MCP, encode_chunked=chunked)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "chunked"])
@pytest.mark.parametrize("size", [10, 200_000])
def test_a_tool_is_judged_by_the_whole_body_and_what_passes_is_unchanged(at, size, chunked):
    assert post(at, "/v1/mcp", call("delete_file", size), chunked=chunked) == 403
    assert not at.upstream.received
    assert post(at, "/v1/mcp", call("read_file", size), chunked=chunked) == 200
    (sent,) = at.upstream.received
    assert sent.body == call("read_file", size)
    assert sent.header("x-team") == "harbour"


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "chunked"])
def test_a_body_that_is_too_long_to_judge_is_refused(at, chunked):
    assert post(at, "/v1/mcp", call("read_file", 400_000), chunked=chunked) == 403
    assert not at.upstream.received


@pytest.mark.parametrize("chunked", [False, True], ids=["of known length", "chunked"])
def test_what_no_rule_reads_is_sent_on_however_long(at, chunked):
    body = b"y" * 2_000_000
    assert post(at, "/v1/other", body, chunked=chunked) == 200
    (sent,) = at.upstream.received
    assert sent.body == body
