"""An Envoy with tool policies: one host that shows what the filter judged, one whose routes are the compiler's own.

`verdicts.test` answers with the judgement of every policy, so that hundreds of bodies can be compared over one connection.
`mcp.test` refuses or forwards to an upstream that remembers what it got. `broken.test` is `verdicts.test` with a context that
the filter cannot read. All are served by the HTTP connection manager that the product uses, without TLS.
"""

import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import h2.config
import h2.connection
import h2.events

from dataplane import names, refusals
from dataplane.entries import Context, first_match
from dataplane.hosts import HostRule
from dataplane.listeners import http_manager, limits, rule_filters
from dataplane.routes import virtual_host
from dataplane.secrets import Layout
from dataplane.tables import table
from dataplane.tools import pending, tool_judge
from dataplane.xds import discovery_response, extension
from policy.domains import DomainPattern
from policy.program import HeaderManipulation, Match, McpToolPolicy, ProfileRef, Rule
from unit_tests.dataplane.envoy_process import LOOPBACK, RunningEnvoy, running_envoy

VERDICTS = "verdicts.test"
MCP = "mcp.test"
BROKEN = "broken.test"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came to the upstream; header names in lower case."""

    method: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class McpEnvoy:
    """`received` is what the upstream got since it was last cleared."""

    envoy: RunningEnvoy
    port: int
    received: list[Received] = field(default_factory=list)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)

    def raw(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self.port), timeout=20)

    def post(self, body: bytes | Iterable[bytes], headers: Headers = (), *, host: str = MCP, method: str = "POST") -> Answer:
        """An iterable body is sent in chunks, without a length."""
        with closing(self.connection()) as connection:
            return ask(connection, body, headers, host=host, method=method)


@contextmanager
def closing(connection: http.client.HTTPConnection) -> Iterator[http.client.HTTPConnection]:
    try:
        yield connection
    finally:
        connection.close()


def ask(
    connection: http.client.HTTPConnection, body: bytes | Iterable[bytes], headers: Headers = (), *, host: str, method: str = "POST"
) -> Answer:
    connection.putrequest(method, "/mcp", skip_host=True, skip_accept_encoding=True)
    chunked = not isinstance(body, bytes)
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
    for name, value in (("Host", host), framing, *headers):
        connection.putheader(name, value.encode("latin-1"))
    connection.endheaders(body, encode_chunked=chunked)
    response = connection.getresponse()
    return Answer(status=response.status, body=response.read())


def verdicts(answer: Answer) -> list[str]:
    """What the filter said for each policy; empty where it did not run."""
    state, *judged = answer.body.decode().split()
    return judged if state == "read" else []


@dataclass(slots=True, kw_only=True)
class Http2Exchange:
    """One POST over HTTP/2. What is sent stops where the answer comes early."""

    connection: h2.connection.H2Connection
    sock: socket.socket
    status: int = 0
    body: bytes = b""
    ended: bool = False

    def send(self, data: bytes, *, end_stream: bool) -> None:
        """In frames as large as the other side allows."""
        while not self.ended:
            window = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size)
            if data and not window:
                self.receive()
                continue
            piece, data = data[:window], data[window:]
            self.connection.send_data(1, piece, end_stream=end_stream and not data)
            self.flush()
            if not data:
                return

    def flush(self) -> None:
        self.sock.sendall(self.connection.data_to_send())

    def receive(self) -> None:
        self.flush()
        for event in self.connection.receive_data(self.sock.recv(65536)):
            match event:
                case h2.events.ResponseReceived():
                    self.status = int(dict(event.headers)[":status"])
                case h2.events.DataReceived():
                    self.body += event.data
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    self.ended = True


def ask_http2(port: int, chunks: Sequence[bytes], headers: Headers = (), *, host: str = MCP, trailers: Headers = ()) -> Answer:
    """One DATA frame a chunk, if it is not too long."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    opening = [(":method", "POST"), (":scheme", "http"), (":authority", host), (":path", "/mcp"), *headers]
    connection.send_headers(1, [(name.lower(), value) for name, value in opening], end_stream=not (chunks or trailers))
    with socket.create_connection((LOOPBACK, port), timeout=20) as sock:
        exchange = Http2Exchange(connection=connection, sock=sock)
        for number, chunk in enumerate(chunks, 1):
            exchange.send(chunk, end_stream=number == len(chunks) and not trailers)
        if trailers and not exchange.ended:
            connection.send_headers(1, trailers, end_stream=True)
        while not exchange.ended:
            exchange.receive()
    return Answer(status=exchange.status, body=exchange.body)


@contextmanager
def mcp_envoy(policies: Sequence[McpToolPolicy], directory: Path) -> Iterator[McpEnvoy]:
    """`directory` holds the routes; every policy is a rule for every request."""
    received: list[Received] = []
    with upstream(received) as upstream_port:
        host_rules = [host_rule(number, policy) for number, policy in enumerate(policies)]
        layout = Layout(directory=str(directory))
        hosts = [shown(VERDICTS, host_rules), compiled(host_rules, layout), broken(host_rules)]
        routes = discovery_response("1", [table(names.PLAIN_CLUSTER, hosts)])
        (directory / f"rds-{names.PLAIN_CLUSTER}.json").write_text(json.dumps(routes), encoding="utf-8")
        with running_envoy(bootstrap(layout, upstream_port)) as envoy:
            yield McpEnvoy(envoy=envoy, port=envoy.port("mcp"), received=received)


def host_rule(number: int, policy: McpToolPolicy) -> HostRule:
    everywhere = Match(domains=(DomainPattern(text="*"),))
    ref = ProfileRef(kind="SecurityProfile", namespace="default", name="tools")
    changed = HeaderManipulation(set=(("x-changed", f"by {number}"),))
    rule = Rule(profile=ref, name=f"policy-{number}", index=number, match=(everywhere,), mcp=policy, headers=changed)
    return HostRule(rule=rule, entries=rule.match)


def shown(host: str, host_rules: list[HostRule]) -> dict[str, Any]:
    entry = pending(host_rules, "http", tool_judge(host_rules))
    judged = " ".join(f"%REQ({names.TOOL_HEADER}{number})%" for number in range(len(host_rules)))
    text = {"text_format_source": {"inline_string": f"%REQ({names.TOOL_HEADER})% {judged}"}}
    show = extension("route", refusals.ROUTE, name="show", match={"prefix": ""}, direct_response={"status": 200, "body_format": text})
    return {
        "name": host,
        "domains": [host],
        "matcher": first_match([(entry.condition, {"action": entry.action}), (True, {"action": show})]),
    }


def broken(host_rules: list[HostRule]) -> dict[str, Any]:
    host = shown(BROKEN, host_rules)
    unread = host["matcher"]["matcher_list"]["matchers"][0]["on_match"]["action"]["typed_config"]
    unread["typed_per_filter_config"][names.TOOL_LUA]["filter_context"] = {}
    return host


def compiled(host_rules: list[HostRule], layout: Layout) -> dict[str, Any]:
    return virtual_host(DomainPattern(text=MCP), host_rules, Context(scheme="http", layout=layout, available=frozenset()))


def bootstrap(layout: Layout, upstream_port: int) -> dict[str, Any]:
    manager = http_manager(names.PLAIN_CLUSTER, layout, rule_filters(), "http", upgrades=("websocket",))
    listener = {"name": "mcp", "address": address(0), "filter_chains": [{"filters": [manager]}], **limits()}
    endpoint = {"endpoint": {"address": address(upstream_port)}}
    load = {"cluster_name": names.PLAIN_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]}
    cluster = {"name": names.PLAIN_CLUSTER, "type": "STATIC", "load_assignment": load}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


@contextmanager
def upstream(received: list[Received]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with suppress(ConnectionError):
                headers = {name.lower(): value for name, value in self.headers.items()}
                received.append(Received(method=self.command, headers=headers, body=self.body()))
                self.send_response(200)
                self.send_header("Content-Length", "8")
                self.end_headers()
                self.wfile.write(b"upstream")

        do_GET = do_DELETE = do_PUT = do_POST  # noqa: N815 - the base class's names

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
