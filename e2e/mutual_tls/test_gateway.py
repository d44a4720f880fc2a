"""A gateway of somebody else's, whose Envoy has what `groyne gateway` wrote: each request is decided by ext-proc over mutual TLS, or refused.

The gateway shows a template's certificate, so that what it sends is that template's. Pods told apart by their addresses are
`e2e/kubernetes/test_shared_gateway.py`'s; here it is Envoy's side that is looked at.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from controller.compile.workload_authorities import authorities
from e2e.bench.world import LOOPBACK, free_port
from e2e.mutual_tls.gateway import Asked, bootstrap
from e2e.mutual_tls.rig import DOMAIN, TEAM, Rig, Volume, policies
from e2e.support.upstream import Upstream, serve
from e2e.support.waiting import until
from groyne import clock
from unit_tests.dataplane.envoy_process import running_envoy

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]
TOOLS = {"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "allow", "toolNames": ["read_file"]}]}
RULES = [
    {"name": "closed", "match": [{"domains": ["closed.test"]}], "actions": {"block": {"statusCode": 418}}},
    {"name": "plain", "match": [{"domains": ["plain.test"], "schemes": ["http"]}], "actions": {"block": {"statusCode": 418}}},
    {"name": "tools", "match": [{"domains": ["mcp.test"]}], "actions": {"mcpToolPolicy": TOOLS}},
    {
        "name": "judged",
        "match": [{"domains": ["api.test"]}],
        "actions": {"headerManipulation": {"set": [{"name": "x-judged", "value": "yes"}]}},
    },
]


MCP = {"content-type": "application/json", "accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-06-18"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    port: int
    upstream: Upstream
    rig: Rig

    def ask(self, host: str, path: str = "/v1/x", body: dict[str, Any] | None = None) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=15)
        text = json.dumps(body) if body else None
        connection.request("POST" if body else "GET", path, body=text, headers={**MCP, "host": host})
        status = connection.getresponse().status
        connection.close()
        return status

    def ask_http2(self, host: str, *, scheme: str, **more: str) -> str:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False, header_encoding="utf-8"))
        connection.initiate_connection()
        lines = {":method": "GET", ":scheme": scheme, ":authority": host, ":path": "/v1/x", **more}
        connection.send_headers(1, list(lines.items()), end_stream=True)
        with socket.create_connection((LOOPBACK, self.port), timeout=15) as stream:
            stream.sendall(connection.data_to_send())
            while data := stream.recv(65_536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.ResponseReceived):
                        return dict(event.headers)[":status"]
                stream.sendall(connection.data_to_send())
        raise AssertionError("no answer")

    def call(self, tool: str) -> int:
        return self.ask("mcp.test", body={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}})


@contextmanager
def running(directory: Path) -> Iterator[Gateway]:
    template, profile = policies()
    profile["spec"] |= {"rules": RULES, "audit": []}
    (directory / "policies.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [template, profile]}))
    rig = Rig(
        directory=directory, proxy=0, upstream=0, health=0, listen=free_port(), transport="h2corn",
        server=Volume(directory / "server"), client=Volume(directory / "client"), trusted=authorities({}, DOMAIN, now=clock.now()),
    )  # fmt: skip
    rig.issue()
    rig.begin("--allow-mode-override=true")
    try:
        with serve() as upstream:
            port = free_port()
            asked = Asked(ext_proc=rig.listen, certificates=rig.client.path)
            with running_envoy(bootstrap(directory, asked, upstream=upstream.port, port=port), log_level="error"):
                found = Gateway(port=port, upstream=upstream, rig=rig)
                until(lambda: found.ask("other.test") == 200, "the gateway never answered", 30)
                upstream.received.clear()
                yield found
    finally:
        rig.end()


def test_each_request_is_decided(tmp_path):
    """Refused, changed, passed; a tool by the body, which Envoy sends because it is asked for."""
    with running(tmp_path) as at:
        assert (at.ask("closed.test"), at.ask("api.test"), at.ask("other.test")) == (418, 200, 200)
        assert at.call("read_file") == 200
        assert at.call("delete_file") == 403
        assert at.ask("api.test", "/a/%2f../b") == 400
        assert [each.header("x-judged") for each in at.upstream.received] == ["yes", None, None]


def test_what_a_client_says_of_its_scheme_counts_for_nothing(tmp_path):
    """Over HTTP/2 it is a header like others, and a rule for plain HTTP is about the connection."""
    with running(tmp_path) as at:
        assert at.ask_http2("plain.test", scheme="http") == "418"
        assert at.ask_http2("plain.test", scheme="https") == "418"
        assert at.ask_http2("other.test", scheme="https", **{"x-groyne-id": "forged"}) == "200"
        (sent,) = at.upstream.received
        assert sent.header("x-groyne-id") is None


def test_without_a_decision_nothing_is_sent(tmp_path):
    """ext-proc is gone; then it is somebody else who answers in its place; then it is back."""
    with running(tmp_path) as at:
        at.rig.end()
        assert {at.ask(host) for host in ("api.test", "other.test", "closed.test")} <= {500, 503}
        at.rig.show_server(f"spiffe://{DOMAIN}/ns/{TEAM}/sa/somebody")
        at.rig.begin("--allow-mode-override=true")
        until(at.rig.is_ready, "it did not begin", 30)
        assert {at.ask(host) for host in ("api.test", "other.test", "closed.test")} <= {500, 503}
        assert not at.upstream.received
        at.rig.end()
        at.rig.show_server()
        at.rig.begin("--allow-mode-override=true")
        until(lambda: at.ask("api.test") == 200, "it is not asked again", 60)
        assert at.upstream.received[0].header("x-judged") == "yes"
