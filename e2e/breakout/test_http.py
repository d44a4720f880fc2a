"""Attempts inside HTTP: paths, hosts, targets, framing, headers, methods and bodies that two readers read differently.

Each goes in the clear and inside intercepted TLS, because two managers judge them.
"""

import json
import time
from collections.abc import Callable

import pytest

from e2e.breakout.laptop import Attempt, Laptop, allowed, leaks, refused, refused_each
from e2e.breakout.raw import Seen, Stream, request, secure
from e2e.breakout.world import NET
from e2e.support import cli

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

HOST = "api.ok.test"
Way = Callable[[bytes], Attempt]


def in_the_clear(data: bytes) -> Attempt:
    return lambda laptop: laptop.plain(data)


def intercepted(data: bytes) -> Attempt:
    return lambda laptop: laptop.tls(f"{HOST}:443", HOST, data)


@pytest.fixture(params=[in_the_clear, intercepted], ids=["in the clear", "intercepted"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


def path(target: str, method: str = "GET") -> bytes:
    return request(target, HOST, method=method)


def test_the_plain_forms(lax: Laptop, way: Way) -> None:
    """The control of everything below."""
    assert lax.canary.encode() in allowed(lax, way(path("/v1/x")), "api").raw
    assert lax.canary.encode() not in allowed(lax, way(path("/x")), "api").raw
    for forbidden in (path("/admin"), path("/x", "DELETE"), request("/x", HOST, "X-Role: admin")):
        assert refused(lax, way(forbidden))["rules"]


BLOCKED_PATHS = [
    "/%61dmin", "/%61%64%6d%69%6e", "/x/../admin", "/x/%2e%2e/admin", "/x/%2E./admin", "/x/.%2e/admin", "//admin", "///admin", "/./admin",
    "/%2e/admin", "/x/y/../../admin", "/../admin", "/admin/", "/admin?x", "/admin/../admin", "/admin;x", "/adminx",
    "\\admin", "/\\admin", "/x\\..\\admin",
]  # fmt: skip


def test_a_blocked_path_in_other_words(lax: Laptop, way: Way) -> None:
    refused_each(lax, {target: way(path(target)) for target in BLOCKED_PATHS}, 403, 400)


AMBIGUOUS_PATHS = [
    "/%2fadmin", "/x%2f..%2fadmin", "/x%2F%2e%2e/admin", "/%5cadmin", "/x%5C..%5cadmin", "/admin%00", "/%00/admin", "/adm\x00in",
]  # fmt: skip


def test_a_path_that_can_be_read_in_two_ways(lax: Laptop, way: Way) -> None:
    refused_each(lax, {target: way(path(target)) for target in AMBIGUOUS_PATHS}, 400)


def test_query_and_case_are_no_path(lax: Laptop, way: Way) -> None:
    same = ("/public?/../admin", "/public?x=/admin", "/ADMIN", "/%2561dmin")
    for target, sent in [*zip(same, same, strict=True), ("/x/%61dmin", "/x/admin"), ("/x//../admin", "/x/admin")]:
        visit = allowed(lax, way(path(target)), "api")
        assert f"GET {sent} HTTP".encode() in visit.raw


BAD_TARGETS = {
    "fragment": path("/admin#x"), "no slash": path("admin"), "a scheme without a host": path("http:/admin"),
    "asterisk": path("*", "OPTIONS"), "asterisk with GET": path("*"), "nothing": path(""),
    "a tab": path("/x\t/admin"), "two spaces": path("/x /admin"), "NUL": path("/x\x00"),
    "raw bytes": path("/\xe2\x80\xa8admin"), "another scheme": path("ftp://api.ok.test/admin"), "file": path("file:///etc/passwd"),
}  # fmt: skip


def test_a_target_that_is_none(lax: Laptop, way: Way) -> None:
    refused_each(lax, {name: way(data) for name, data in BAD_TARGETS.items()}, 400, 404, 403)


def test_an_absolute_target_is_what_is_judged(lax: Laptop) -> None:
    """And the server sees one Host, that of the target."""
    refused(lax, in_the_clear(request("http://evil.test/", HOST)))
    refused(lax, in_the_clear(request("http://api.ok.test/admin", "pass.ok.test")))
    visit = allowed(lax, in_the_clear(request("http://api.ok.test/v1/x", "evil.test")), "api")
    assert visit.raw.lower().count(b"host:") == 1
    assert b"host: api.ok.test" in visit.raw.lower()


def test_an_absolute_target_inside_tls_names_the_same_host(lax: Laptop) -> None:
    for target in ("https://evil.test/", "http://evil.test/", "https://pass.ok.test/"):
        refused(lax, intercepted(request(target, HOST)), 421, 400, 403)


TWO_HOSTS = {
    "the blocked one first": ("Host: evil.test", f"Host: {HOST}"), "the blocked one last": (f"Host: {HOST}", "Host: evil.test"),
    "the same twice": (f"Host: {HOST}", f"Host: {HOST}"), "in other letters": (f"Host: {HOST}", "hOST: evil.test"),
    "joined": (f"Host: {HOST}, evil.test",), "joined, no space": (f"Host: evil.test,{HOST}",),
    "an empty one first": ("Host:", "Host: evil.test"), "folded": (f"Host: {HOST}", " evil.test"),
    "a space before the colon": (f"Host: {HOST}", "Host : evil.test"),
}  # fmt: skip


def test_more_than_one_host(lax: Laptop, way: Way) -> None:
    refused_each(lax, {name: way(request("/v1/x", None, *lines)) for name, lines in TWO_HOSTS.items()}, 400, 403, 421)


EVIL_HOSTS = ["EVIL.test", "evil.test.", "evil.test:80", "EVIL.test.:80", "\tevil.test", " evil.test ", "evil.test:8443", "evil.test:443"]


def test_a_blocked_host_in_other_words(lax: Laptop) -> None:
    for record in refused_each(lax, {host: in_the_clear(request("/", host)) for host in EVIL_HOSTS}):
        assert record["rules"] == ["default/policy/evil"]


NO_HOSTS = [
    "evil.test:", "evil.test:x", "evil.test:0", "evil.test:99999", "evil.test:80:80", "x@evil.test", "api.ok.test@evil.test",
    "evil%2etest", "evil.test%00",
    "evil.test..", ".evil.test", "evil\x00.test", "evil.test\x7f", "evil\xe3\x80\x82test", "evil.test/", "evil.test#", "[evil.test]", "",
    "api.ok.test evil.test", "evil.test\x0b",
]  # fmt: skip


def test_a_host_that_is_none(lax: Laptop) -> None:
    refused_each(lax, {host: in_the_clear(request("/", host)) for host in NO_HOSTS}, 400)


def test_spellings_of_the_own_host_inside_tls(lax: Laptop) -> None:
    for host in ("API.ok.test", "api.ok.test.", "api.ok.test:443", "api.OK.test.:443"):
        allowed(lax, intercepted(request("/v1/x", host)), "api")
        refused(lax, intercepted(request("/admin", host)))


NAMELESS = {
    "1.1": request("/v1/x", None), "1.0": request("/v1/x", None, version="1.0"), "0.9": b"GET /v1/x\r\n\r\n",
    "3": b"GET /v1/x HTTP/3\r\n\r\n", "no words": b"\x00\x01\x02\r\n\r\n",
}  # fmt: skip


def test_a_request_that_names_no_host(deny: Laptop, way: Way) -> None:
    refused_each(deny, {name: way(data) for name, data in NAMELESS.items()}, 426, 400)


def test_other_versions_of_http(deny: Laptop) -> None:
    """Inside TLS they are refused; a proxy client may speak HTTP/1.0 (Python's asks for tunnels in it), and is judged as ever."""
    versions = ("0.9", "1.0", "1.2", "2.0")
    refused_each(deny, {version: intercepted(request("/v1/x", HOST, version=version)) for version in versions}, 426, 400)
    refused_each(deny, {version: in_the_clear(request("/v1/x", "evil.test", version=version)) for version in versions}, 403, 426, 400)


SMUGGLED = b"GET /admin/smuggled HTTP/1.1\r\nHost: api.ok.test\r\n\r\n"


def framed(*lines: str, body: bytes = b"") -> bytes:
    return request("/x", HOST, *lines, method="POST") + body


CHUNKED = b"0\r\n\r\n" + SMUGGLED
SMUGGLING = {
    "length and chunks": framed("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKED),
    "chunks and length": framed("Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKED),
    "two lengths": framed("Content-Length: 0", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
    "two lengths in one line": framed(f"Content-Length: 0, {len(SMUGGLED)}", body=SMUGGLED),
    "a length with a sign": framed(f"Content-Length: +{len(SMUGGLED)}", body=SMUGGLED),
    "a negative length": framed("Content-Length: -1", body=SMUGGLED),
    "a hexadecimal length": framed(f"Content-Length: 0x{len(SMUGGLED):x}", body=SMUGGLED),
    "a length with a space in it": framed("Content-Length: 1 0", body=SMUGGLED),
    "a length beyond all numbers": framed("Content-Length: 18446744073709551617", body=b"x" + SMUGGLED),
    "an unknown encoding": framed("Transfer-Encoding: xchunked", body=CHUNKED),
    "chunks twice": framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED),
    "chunks, then identity": framed("Transfer-Encoding: chunked, identity", body=CHUNKED),
    "identity, then chunks": framed("Transfer-Encoding: identity", "Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKED),
    "a space before the colon": framed("Transfer-Encoding : chunked", "Content-Length: 5", body=CHUNKED),
    "a vertical tab": framed("Transfer-Encoding: \x0bchunked", "Content-Length: 5", body=CHUNKED),
    "a folded line": framed("Transfer-Encoding:\r\n chunked", "Content-Length: 5", body=CHUNKED),
    "a bare newline": request("/x", HOST, "X: y\nTransfer-Encoding: chunked", "Content-Length: 5", method="POST") + CHUNKED,
    "NUL in a header": request("/x", HOST, "X: \x00", "Content-Length: 5", method="POST") + SMUGGLED,
    "a header without a colon": request("/x", HOST, "Transfer-Encoding chunked", "Content-Length: 0", method="POST") + SMUGGLED,
}


BAD_CHUNKS = {
    "a chunk size with a sign": framed("Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + SMUGGLED),
    "a chunk size with 0x": framed("Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + SMUGGLED),
    "a chunk size that overflows": framed("Transfer-Encoding: chunked", body=b"10000000000000000\r\n" + SMUGGLED),
    "a chunk that ends in a newline alone": framed("Transfer-Encoding: chunked", body=b"1\nx\n0\n\n" + SMUGGLED),
}
TWO_IN_TRUTH = {
    "a carriage return alone": request("/x", HOST, "X: y\rTransfer-Encoding: chunked", "Content-Length: 5", method="POST") + CHUNKED,
    "a request line in a header": request("/x", HOST, "X: y\r\n\r\nGET /admin/smuggled HTTP/1.1", f"Host: {HOST}"),
}


def test_no_second_request_is_smuggled(lax: Laptop, way: Way) -> None:
    """The first is refused; no server ever sees a byte of the second."""
    refused_each(lax, {name: way(data) for name, data in SMUGGLING.items()}, 400, 501)


def test_no_second_request_is_smuggled_in_a_body(lax: Laptop, way: Way) -> None:
    """The first may have begun when its body turns out to be none: it is cut off there, and never ends."""
    for name, data in BAD_CHUNKS.items():
        mark = lax.mark()
        assert way(data)(lax).status == 400, name
        happened = lax.since(mark)
        assert [record["reason"] for record in happened.records] == ["MalformedBody"], (name, happened.records)
        assert all(visit.raw.endswith(b"\r\n\r\n") or not visit.raw for visit in happened.visits), (name, happened.visits)
        assert not any(b"admin" in visit.raw or b"\r\n0\r\n" in visit.raw for visit in happened.visits), (name, happened.visits)


def test_what_groyne_reads_as_a_second_request_is_judged_as_one(lax: Laptop, way: Way) -> None:
    """And the server is given the first in such a form that it cannot read a second."""
    for name, data in TWO_IN_TRUTH.items():
        mark = lax.mark()
        assert way(data)(lax).status == 200, name
        happened = lax.since(mark)
        assert [line[-11:] for visit in happened.visits for line in visit.requests] == [b"/x HTTP/1.1"], (name, happened.visits)
        assert [record["status"] for record in happened.records] == [200, 403], (name, happened.records)
        assert not any(b"smuggled" in visit.raw or b"\r\ntransfer-encoding" in visit.raw.lower() for visit in happened.visits), name


def test_pipelined_requests_are_judged_one_by_one(lax: Laptop) -> None:
    mark = lax.mark()
    stream = lax.proxy().send(path("/x") + path("/admin"))
    assert [stream.answer().status for _ in range(2)] == [200, 403]
    stream.close()
    assert [line for visit in lax.since(mark).visits for line in visit.requests] == [b"GET /x HTTP/1.1"]


def tool_call(name: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}).encode()


MCP = "mcp.ok.test"
MCP_LINES = ("MCP-Protocol-Version: 2025-06-18", "Content-Type: application/json", "Accept: application/json, text/event-stream")


def mcp(body: bytes, *lines: str) -> Attempt:
    return lambda laptop: laptop.tls(f"{MCP}:443", MCP, request("/mcp", MCP, *MCP_LINES, *lines, method="POST", body=body))


DENIED = {
    "the plain call": tool_call("delete_repo"),
    "escapes in the name": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\u0064elete\\u005frepo"}}',
    "escapes in the method": b'{"jsonrpc":"2.0","id":1,"method":"tools\\/\\u0063all","params":{"name":"delete_repo"}}',
    "escapes in the keys": b'{"jsonrpc":"2.0","id":1,"\\u006dethod":"tools/call","params":{"n\\u0061me":"delete_repo"}}',
    "another order": b'{"params":{"arguments":{},"name":"delete_repo"},"id":1,"method":"tools/call","jsonrpc":"2.0"}',
    "white space": b' \r\n\t{ "jsonrpc" : "2.0" ,"id":1 , "method" :\n"tools/call", "params":{"name" : "delete_repo" } } \n',
    "nested under another params": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"params":{"name":"ok"},"name":"delete_repo"}}',
    "the name twice": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok","name":"delete_repo"}}',
    "params twice": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"ok"},"params":{"name":"delete_repo"}}',
    "the method twice": b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"delete_repo"}}',
    "in a batch": b"[" + tool_call("ok") + b"," + tool_call("delete_repo") + b"]",
    "other letters in a key": b'{"jsonrpc":"2.0","id":1,"METHOD":"tools/call","params":{"name":"delete_repo"}}',
    "a byte order mark": b"\xef\xbb\xbf" + tool_call("delete_repo"),
    "UTF-16": tool_call("delete_repo").decode().encode("utf-16"),
    "not JSON": b"tools/call delete_repo",
    "cut off": tool_call("delete_repo")[:-1],
    "two documents": tool_call("ok") + tool_call("delete_repo"),
    "deep nesting": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"," + tool_call("delete_repo")[1:],
    "beyond the limit": b'{"x":"' + b"y" * 300_000 + b'",' + tool_call("delete_repo")[1:],
}


def test_a_denied_tool_in_other_words(lax: Laptop) -> None:
    for record in refused_each(lax, {name: mcp(body) for name, body in DENIED.items()}):
        assert record["reason"] == "ToolDenied"


def test_a_tool_call_that_cannot_be_read(lax: Laptop) -> None:
    encodings = ("gzip", "deflate", "br", "x-gzip", "identity, gzip")
    refused_each(lax, {encoding: mcp(tool_call("ok"), f"Content-Encoding: {encoding}") for encoding in encodings})


def test_allowed_tools_are_called(lax: Laptop) -> None:
    """The control of the denied ones."""
    allowed(lax, mcp(tool_call("search")), "mcp")
    allowed(lax, mcp(b'{"jsonrpc":"2.0","method":"ping","id":1}'), "mcp")


def in_chunks(body: bytes, size: int, pause: float) -> Attempt:
    """With Expect: 100-continue, and no length."""

    def attempt(laptop: Laptop) -> Seen:
        stream, _ = laptop.tunnel(f"{MCP}:443")
        inner = Stream(secure(stream.socket, laptop.context("http/1.1"), MCP))
        inner.send(request("/mcp", MCP, *MCP_LINES, "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST"))
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            inner.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause)
        inner.send(b"0\r\n\r\n")
        seen = inner.answer()
        inner.close()
        return seen

    return attempt


@pytest.mark.parametrize(("size", "pause"), [(1, 0.0), (5, 0.02)], ids=["one byte each", "slowly"])
def test_no_byte_reaches_the_server_before_the_verdict(lax: Laptop, size: int, pause: float) -> None:
    refused(lax, in_chunks(tool_call("delete_repo"), size, pause))
    before = time.monotonic()
    visit = allowed(lax, in_chunks(tool_call("search"), size, pause), "mcp")
    assert min(moment for moment in visit.moments if moment > before) >= before + pause * (len(tool_call("search")) // size)


ROLES = ("admin", "user,admin", "admin,user", " admin ", "ADMIN", "", "admin,", "admin;x", "administrator")
COMBINATIONS = [(role,) for role in ROLES] + [
    ("admin", "user"), ("user", "admin"), ("admin", "admin"), ("", "admin"), ("admin", ""), (" ", "admin"), ("user", "user", "admin"),
]  # fmt: skip


def test_several_lines_of_one_header_are_judged_as_the_evaluator_does(lax: Laptop) -> None:
    lines = [tuple(f"X-Role: {role}" for role in roles) for roles in COMBINATIONS]
    asked = [
        {"method": "GET", "scheme": "http", "authority": HOST, "path": "/x", "headers": [["X-Role", role] for role in roles]}
        for roles in COMBINATIONS
    ]
    done = cli.groyne("explain", lax.policy, "--requests", "-", "--output", "json", stdin="".join(json.dumps(raw) + "\n" for raw in asked))
    expected = [answer["verdict"] == "blocked" for answer in cli.json_lines(done.out)]
    found = [lax.plain(request("/x", HOST, *headers)).status == 403 for headers in lines]
    assert found == expected, list(zip(COMBINATIONS, found, expected, strict=True))
    assert True in found
    assert False in found
    lax.settle()


INTERNAL = {
    "x-envoy-original-path": "/x", "x-envoy-original-method": "GET", "x-original-url": "/x", "x-rewrite-url": "/x",
    "x-forwarded-host": "pass.ok.test", "x-envoy-decorator-operation": "x", "x-groyne-path": "/x", "x-groyne-q": "read",
    "x-groyne-m": "read", "x-groyne-m0": "allow", "x-groyne-d0": "1",
    "x-groyne-names": "api.ok.test|api.ok.test", "x-groyne-raw": "raw", "x-groyne-u": "1", "x-http-method-override": "GET",
}  # fmt: skip


def test_headers_of_proxies_change_no_verdict(lax: Laptop, way: Way) -> None:
    lines = [f"{name}: {value}" for name, value in INTERNAL.items()]
    refused(lax, way(request("/admin", HOST, *lines)))
    refused(lax, mcp(tool_call("delete_repo"), *lines))
    refused(lax, lambda laptop: laptop.plain(request("evil.test:443", "evil.test:443", "x-groyne-host: free.ok.test", method="CONNECT")))


def test_headers_of_envoy_are_not_sent_on(lax: Laptop, way: Way) -> None:
    lines = [
        "x-envoy-original-path: /admin", "x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 9",
        "x-forwarded-for: 127.0.0.1", "x-envoy-force-trace: 1", "x-envoy-internal: true", "x-groyne-path: /admin", "x-groyne-id: 1",
    ]  # fmt: skip
    visit = allowed(lax, way(request("/x", HOST, *lines)), "api")
    assert b"x-envoy" not in visit.raw.lower()
    assert b"x-groyne" not in visit.raw.lower()
    assert b"x-forwarded-proto" not in visit.raw.lower()


def test_a_connect_dials_what_was_judged_whatever_its_headers_say(lax: Laptop) -> None:
    def attempt(laptop: Laptop) -> Seen:
        lines = ("x-groyne-host: evil.test", "x-groyne-port: 8443", "x-groyne-raw: raw")
        stream = laptop.proxy()
        seen = stream.send(request("pass.ok.test:443", "pass.ok.test:443", *lines, method="CONNECT")).answer()
        assert seen.status == 200
        inner = Stream(secure(stream.socket, laptop.context("http/1.1"), "pass.ok.test"))
        return inner.send(request("/", "pass.ok.test")).answer()

    allowed(lax, attempt, "pass")


BIG = {
    "a header of 70 KiB": request("/x", HOST, "X-Big: " + "a" * 70_000),
    "200 headers": request("/x", HOST, *(f"X-{number}: a" for number in range(200))),
    "a path of 70 KiB": path("/" + "a" * 70_000),
    "a host of 70 KiB": request("/x", "a" * 70_000),
    "a header name of 70 KiB": request("/x", HOST, "x" * 70_000 + ": a"),
}


def test_more_than_fits(lax: Laptop, way: Way) -> None:
    refused_each(lax, {name: way(data) for name, data in BIG.items()}, 431, 414, 400)


def test_h2c_is_not_upgraded_to(lax: Laptop, way: Way) -> None:
    """Past an upgrade nobody would judge the streams; the request itself may pass as what it is in HTTP/1.1."""
    lines = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    refused(lax, way(request("/admin", HOST, *lines)))
    mark = lax.mark()
    seen = way(request("/x", HOST, *lines))(lax)
    assert seen.status in (200, 403, 400), seen
    assert not any(b"upgrade" in visit.raw.lower() for visit in lax.since(mark).visits)


def test_upgrades_do_not_lead_past_a_block(lax: Laptop, way: Way) -> None:
    lines = ("Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13")
    protocols = ("websocket", "TLS/1.3", "connect-udp", "whatever", "h2c, websocket")
    refused_each(lax, {name: way(request("/admin", HOST, f"Upgrade: {name}", *lines)) for name in protocols}, 403, 404)


PIPED = b"GET /admin HTTP/1.1\r\nHost: evil.test\r\n\r\n"


def test_a_connect_inside_http_opens_nothing(lax: Laptop) -> None:
    for authority in ("evil.test:443", "api.ok.test:443", "pass.ok.test:443"):
        connect = request(authority, authority, method="CONNECT")
        refused(lax, intercepted(connect + b"\x16\x03\x01pipelined"), 403, 404, 405, 421)
        refused(lax, lambda laptop, connect=connect: laptop.through("pass.ok.test:80", connect + b"\x16\x03\x01", patience=1), 0)


def test_bytes_behind_a_refused_connect_go_nowhere(lax: Laptop) -> None:
    connect = request("evil.test:443", "evil.test:443", method="CONNECT")
    mark = lax.mark()
    stream = lax.proxy().send(connect + PIPED)
    assert stream.answer().status == 403
    stream.rest(patience=1)
    stream.close()
    happened = lax.since(mark)
    assert not happened.visits
    assert all(record["verdict"] == "blocked" for record in happened.records), happened.records


def test_a_clients_own_authorization_is_replaced(lax: Laptop, way: Way) -> None:
    own = ("Authorization: Bearer mine", "AUTHORIZATION: Basic bWluZQ==", "authorization: third")
    visit = allowed(lax, way(request("/v1/x", HOST, *own)), "api")
    assert visit.raw.lower().count(b"authorization:") == 1
    assert lax.canary.encode() in visit.raw


@pytest.mark.parametrize("method", ["TRACE", "TRACK"])
def test_methods_that_echo_get_no_credential(lax: Laptop, way: Way, method: str) -> None:
    mark = lax.mark()
    way(path("/v1/x", method))(lax)
    assert not any(lax.canary.encode() in visit.raw for visit in lax.since(mark).visits)


METHODS = ["delete", "Delete", "DELETE\t", " DELETE", "DELETE\x00", "D\xcbLETE", "BREW", "GET\r\nX:"]


def test_a_blocked_method_in_other_words(lax: Laptop, way: Way) -> None:
    refused_each(lax, {method: way(path("/x", method)) for method in METHODS}, 400, 403)


def test_method_overrides_are_not_seen(lax: Laptop) -> None:
    """Documented: Groyne judges the method of the request; what a server makes of such a header is the server's."""
    visit = allowed(lax, intercepted(request("/x?_method=DELETE", HOST, "X-HTTP-Method-Override: DELETE", method="POST", body=b"x")), "api")
    assert visit.raw.startswith(b"POST ")


def test_patterns_are_linear(lax: Laptop, way: Way) -> None:
    """8 KiB that let a backtracking matcher take for ever; the same text that does match is refused."""
    before = time.monotonic()
    allowed(lax, way(request("/x", HOST, "X-Slow: " + "a" * 8000 + "!")), "api")
    allowed(lax, way(path("/" + "a" * 8000 + "!")), "api")
    assert time.monotonic() - before < 3
    refused(lax, way(request("/x", HOST, "X-Slow: " + "a" * 8000)))
    refused(lax, way(path("/" + "a" * 8000 + "b")))


NASTY = [
    '/x%0a{"verdict":"passthrough"}', "/%1b%5b2J", "/x%e2%80%a8y", "/%80%ff", "/" + "y" * 8000, '/"}{"', "/x%0d%0a%0d%0a", "/%22%7d%0a%7b",
]  # fmt: skip


def test_the_audit_is_one_json_line_a_request(lax: Laptop, way: Way) -> None:
    for target in NASTY:
        mark = lax.mark()
        way(request(target, HOST, "User-Agent: \x1b[2J\x80\xe2\x80\xa8", "Referer: }\t{"))(lax)
        (record,) = lax.since(mark).records
        assert len(json.dumps(record)) < 4000
    for line in lax.audit.read_bytes().splitlines():
        assert isinstance(json.loads(line), dict)
        assert all(32 <= byte < 127 for byte in line), line


def test_format_commands_and_templates_arrive_as_written(lax: Laptop, way: Way) -> None:
    visit = allowed(lax, way(request("/literal", HOST, "Authorization: Bearer mine")), "api")
    for line in (b"%REQ(authorization)%", b"%ENVIRONMENT(HOME)%", b"100%", b"%%", b"{{ .Token }} ${HOME}"):
        assert b": " + line + b"\r\n" in visit.raw, visit.raw


def test_an_address_as_host_inside_tls_is_another_host(lax: Laptop) -> None:
    refused(lax, intercepted(request("/v1/x", f"{NET}.10")), 421)


def test_the_credential_was_nowhere_but_at_its_host(lax: Laptop, deny: Laptop) -> None:
    assert not leaks(lax)
    assert not leaks(deny)
