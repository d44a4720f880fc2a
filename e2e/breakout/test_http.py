"""Attempts inside HTTP: paths, hosts, targets, framing, headers, methods and bodies that two readers read differently.

Each goes in the clear and inside intercepted TLS, because two managers judge them.
"""

import json
import time

import pytest

from e2e.breakout.laptop import Laptop, allowed, leaks, refused, refused_each
from e2e.breakout.raw import Seen, Stream, request, secure
from e2e.breakout.tools import mcp, tool_call
from e2e.breakout.ways import HOST, Way, in_the_clear, intercepted, path
from e2e.breakout.world import NET
from e2e.support import cli

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy


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
