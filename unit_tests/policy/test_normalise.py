"""Requests as they arrive and what Envoy 1.40 makes of them; the tables were seen with the real one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.domains import DomainPattern
from policy.normalise import normalise, parse_query
from policy.request import Malformed, Request
from unit_tests.policy.requests import raw, refusal, request


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("a", 400),
        ("", 400),
        ("?x", 400),
        ("*", 400),
        ("/a#b", 400),
        ("/a?x#b", 400),
        ("/%00", 400),
        ("/a b", 400),
        ("/a\tb", 400),
        ("/a\x01", 400),
        ("/a\x7f", 400),
        ("/a?\x00", 400),
        ("/\xe9", 400),
        ("/?\xe9", 400),
        ("ftp://h.test/a", 400),
        ("http:/a", 400),
        ("http:///a", 400),
        ("http://h.test#x", 400),
        ("http://[::1].:80/", 400),
        ("http://c_d/", 400),
        ("http://a@b@c.test/", 400),
        ("http://h.test:/", 400),
        ("http://h.test?x", 404),
        ("https://h.test/", 403),
        ("//", 400),
        ("/a/%2e%2e;/b", 400),
        ("/a%2fb", 400),
        ("/a%5Cb", 400),
    ],
)
def test_these_targets_are_refused(target, status):
    assert refusal(target).status == status


def test_options_of_everything_has_no_path_to_judge():
    assert refusal("*", method="OPTIONS").status == 404


@pytest.mark.parametrize(
    ("target", "path", "forwarded"),
    [
        ("/a?", "/a", "/a?"),
        ("/a?x&&y", "/a", "/a?x&&y"),
        ("/a??//../", "/a", "/a??//../"),
        ("/x/../a?/../b//c", "/a", "/a?/../b//c"),
        ("/a?%2f%41", "/a", "/a?%2f%41"),
    ],
)
def test_the_query_is_untouched_and_no_part_of_the_path(target, path, forwarded):
    assert (request(target).path, request(target).target) == (path, forwarded)


@pytest.mark.parametrize(
    ("target", "authority", "path"),
    [
        ("http://c.test", "c.test", "/"),
        ("http://c.test/a/../b", "c.test", "/b"),
        ("HTTP://C.test./a", "C.test", "/a"),
        ("http://u:p@c.test:80/x", "c.test:80", "/x"),
        ("http://u/@c.test/", "u", "/@c.test/"),
        ("http://[::1]:80/", "[::1]:80", "/"),
    ],
)
def test_an_absolute_target_replaces_the_host_line(target, authority, path):
    seen = request(target, "other.test")
    assert (seen.authority, seen.path) == (authority, path)


def test_an_absolute_target_also_replaces_two_host_lines():
    assert request("http://c.test/", "a.test", headers=[("Host", "b.test")]).host == "c.test"


@pytest.mark.parametrize("second", ["b.test", "h.test"])
def test_two_host_lines_are_refused_even_when_they_agree(second):
    assert refusal(headers=[("Host", second)]).reason == "MalformedHost"


def test_in_http2_a_host_line_beside_the_authority_is_dropped():
    assert request(headers=[("host", "b.test")], http2=True).host == "h.test"


@pytest.mark.parametrize(
    ("authority", "scheme", "host", "port"),
    [
        ("H.Test.", "http", "h.test", 80),
        ("h.test", "https", "h.test", 443),
        ("h.test.:8080", "https", "h.test", 8080),
        ("\t h.test ", "http", "h.test", 80),
    ],
)
def test_a_host_has_neither_case_nor_dot_and_always_a_port(authority, scheme, host, port):
    seen = request("/", authority, scheme=scheme)
    assert (seen.host, seen.port) == (host, port)


@pytest.mark.parametrize("authority", ["", "u@h.test", "h.test:", "h.test:0", "a,b", "127.1", "h.test..", "::1", "h\xe9"])
def test_a_host_that_is_none_is_refused(authority):
    assert refusal("/", authority).reason == "MalformedHost"


def test_header_names_lose_their_case_and_lines_are_joined_with_a_comma():
    seen = request(headers=[("X-Role", " user "), ("x-other", "1"), ("x-role", "admin\t"), ("X-ROLE", "")])
    assert seen.headers == (("x-role", "user,admin,"), ("x-other", "1"))


@pytest.mark.parametrize(("http2", "joined"), [(False, "a=1,b=2"), (True, "a=1; b=2")])
def test_cookie_crumbs_of_http2_are_joined_as_one_cookie(http2, joined):
    assert request(headers=[("cookie", "a=1"), ("cookie", "b=2")], http2=http2).header("cookie") == joined


def test_the_header_host_is_the_authority_with_its_port_and_case():
    assert request("/", "H.Test.:81", headers=[("x", "y")]).header("host") == "H.Test:81"


@pytest.mark.parametrize(
    "headers", [[("x y", "1")], [("", "1")], [("x:", "1")], [("x", "a\nb")], [("x", "a\x00")], [("x", "a\x7f")], [("é", "1")]]
)
def test_headers_that_http_does_not_allow_are_refused(headers):
    assert refusal(headers=headers).reason == "MalformedHeader"


def test_bytes_above_127_are_fine_in_a_header():
    assert request(headers=[("x", "\xe9\xff")]).header("x") == "\xe9\xff"


@pytest.mark.parametrize("headers", [[("X", "1")], [("x", " 1")], [("x", "1\t")], [("connection", "close")], [("te", "gzip")]])
def test_http2_is_stricter_about_headers(headers):
    assert refusal(headers=headers, http2=True).reason == "MalformedHeader"
    request(headers=headers)


def test_headers_that_connection_names_are_gone():
    assert request(headers=[("Connection", "close, X-Role"), ("x-role", "admin"), ("y", "1")]).headers == (("y", "1"),)


@pytest.mark.parametrize("names", ["x-forwarded-for", ":path", "host", ",".join("abcdefghij")])
def test_connection_must_not_name_everything(names):
    assert refusal(headers=[("connection", names)]).reason == "MalformedHeader"


def test_two_lengths_are_refused():
    assert refusal(method="POST", headers=[("content-length", "1"), ("transfer-encoding", "chunked")]).status == 400


@pytest.mark.parametrize("method", ["get", "FOO", "", "G T", "TRACK"])
def test_http1_knows_its_methods(method):
    assert refusal(method=method).reason == "MalformedMethod"


@pytest.mark.parametrize("method", ["get", "FOO", "M-SEARCH"])
def test_http2_takes_any_token_for_a_method(method):
    assert request(method=method, http2=True).method == method


def test_query_as_a_method_needs_a_content_type():
    assert refusal(method="QUERY").reason == "MalformedMethod"
    assert request(method="QUERY", headers=[("content-type", "a/b")]).method == "QUERY"


def test_a_connect_has_host_and_port_and_no_path():
    seen = request("H.test:443", "other", method="CONNECT")
    assert (seen.host, seen.port, seen.path) == ("h.test", 443, "")


@pytest.mark.parametrize("target", ["h.test", "/", "u@h.test:443", "h.test:443/", "http://h.test/", "127.1:443"])
def test_a_connect_that_names_no_host_and_port_is_refused(target):
    refusal(target, "h.test:443", method="CONNECT")


QUERIES = {
    "": None,
    "a": "",
    "a=": "",
    "a=1": "1",
    "%61=1": "1",
    "a=1&a=2": "1",
    "a&a=2": "",
    "&&=x": None,
    "a=%": "%",
    "a=%00": "\xc0\x80",
    "a=b%23c": "b#c",
    "a=a+b": "a+b",
    "a=a%20b": "a b",
    "a=%zz": "%zz",
    "a=%2": "%2",
    "a=%C3%a9": "\xc3\xa9",
    "a=1;2": "1;2",
    "a=a=b": "a=b",
    "A=1": None,
    "&a=2": "2",
    "a=1&amp;": "1",
    "?a=1": None,
    "a%3D1": None,
    "a=%2561": "%61",
    "a=%%61": "%a",
    "a=1%26": "1&",
}


@pytest.mark.parametrize(("query", "value"), QUERIES.items())
def test_the_first_occurrence_of_a_parameter_counts_percent_decoded(query, value):
    assert request(f"/?{query}").parameter("a") == value


def test_a_raw_byte_in_an_http2_query_is_kept():
    assert request("/?a=\xe9", http2=True).parameter("a") == "\xe9"
    assert request("/\xe9", http2=True).path == "/%E9"


def test_escaped_slashes_are_allowed_where_the_profile_says_so():
    hosts = [DomainPattern(text="registry.npmjs.org")]
    seen = normalise(raw("/@scope%2fname", "registry.npmjs.org"), hosts)
    assert isinstance(seen, Request)
    assert (seen.path, seen.unescaped_path) == ("/@scope%2fname", "/@scope/name")
    assert isinstance(normalise(raw("/@scope%2fname", "other.test"), hosts), Malformed)
    assert isinstance(normalise(raw("/a%2f..%2fb", "registry.npmjs.org"), hosts), Malformed)


ANY_TEXT = st.text(alphabet=st.characters(max_codepoint=255), max_size=12)


@given(
    path=st.one_of(ANY_TEXT, ANY_TEXT.map("/{}".format)),
    authority=st.one_of(ANY_TEXT, st.just("h.test")),
    method=st.one_of(ANY_TEXT, st.just("GET"), st.just("CONNECT")),
    headers=st.lists(st.tuples(ANY_TEXT, ANY_TEXT), max_size=2),
    http2=st.booleans(),
)
def test_any_request_is_either_normalised_or_malformed(path, authority, method, headers, http2):
    """Nothing raises, and what was normalised is so for good."""
    once = normalise(raw(path, authority, method=method, headers=headers, http2=http2))
    if isinstance(once, Request) and method != "CONNECT":
        again = normalise(raw(once.target, once.authority, method=method, headers=once.headers, http2=http2))
        assert again == once


@given(ANY_TEXT)
def test_any_query_can_be_read(query):
    assert all(len(pair) == 2 for pair in parse_query(query))
