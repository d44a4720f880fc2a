"""Requests as they are typed or sent as JSON lines: what they become, and the sentence where they cannot be read."""

import json

import pytest

from groyne.explain_input import FIELDS, parse_request, read_request, readable
from policy.request import RawRequest


@pytest.mark.parametrize(
    ("text", "method", "scheme", "authority", "path"),
    [
        ("GET https://api.test/a?b=c", "GET", "https", "api.test", "/a?b=c"),
        ("https://api.test", "GET", "https", "api.test", "/"),
        ("  POST   HTTP://Api.Test:8080/x ", "POST", "http", "Api.Test:8080", "/x"),
        ("GET http://api.test?q=1", "GET", "http", "api.test", "/?q=1"),
        ("GET http://api.test#x", "GET", "http", "api.test", "/#x"),
        ("get https://[::1]:8443/x", "get", "https", "[::1]:8443", "/x"),
        ("GET https://user:pw@api.test/", "GET", "https", "user:pw@api.test", "/"),
        ("CONNECT api.test:443", "CONNECT", "https", "api.test:443", "/"),
        ("CONNECT https://api.test:443", "CONNECT", "https", "api.test:443", "/"),
        ("GET https://api.test/http://b.test", "GET", "https", "api.test", "/http://b.test"),
    ],
)
def test_a_method_and_a_url_become_a_request(text, method, scheme, authority, path):
    assert parse_request(text, ()) == RawRequest(method=method, scheme=scheme, authority=authority, path=path)


@pytest.mark.parametrize("text", ["", "GET", "api.test", "GET /path", "GET ftp://api.test/", "://", "GET api.test:443"])
def test_what_is_no_method_and_url_is_answered_with_an_example(text):
    said = parse_request(text, ())
    assert isinstance(said, str)
    assert "GET https://api.github.com/user" in said


def test_headers_keep_their_case_and_their_order():
    found = parse_request("GET http://h.test/", ["X-B: 1 ", "x-a:2", "X-B: a:b", "Empty:"])
    assert found.headers == (("X-B", "1"), ("x-a", "2"), ("X-B", "a:b"), ("Empty", ""))


@pytest.mark.parametrize("header", ["no colon", ": value", " :x", ""])
def test_what_is_no_header_is_answered_with_its_form(header):
    assert "write 'Name: value'" in parse_request("GET http://h.test/", [header])


def test_text_becomes_the_bytes_that_a_client_sends():
    found = parse_request("GET http://h.test/é", ["x: é"], "é")
    assert (found.path, found.headers, found.body) == ("/\xc3\xa9", (("x", "\xc3\xa9"),), b"\xc3\xa9")


def test_bytes_that_are_no_utf8_stay_what_they_are():
    found = parse_request("GET http://h.test/\udcff", ["x: \udce9"], "\udc80")
    assert (found.path, found.headers, found.body) == ("/\xff", (("x", "\xe9"),), b"\x80")
    assert readable(found.path) == "/\udcff"


def test_a_json_line_holds_what_its_fields_say():
    line = {
        "method": "PUT", "scheme": "HTTP", "authority": "h.test:1", "path": "/é", "headers": [["A", "1"], ["a", "\udce9"]], "body": "é",
    }  # fmt: skip
    assert read_request(json.dumps(line)) == RawRequest(
        method="PUT", scheme="http", authority="h.test:1", path="/\xc3\xa9", headers=(("A", "1"), ("a", "\xe9")), body=b"\xc3\xa9"
    )


def test_what_is_left_out_is_a_get_of_the_root_by_https():
    assert read_request('{"authority": "h.test"}') == RawRequest(method="GET", scheme="https", authority="h.test", path="/")
    nothing = '{"authority": "h.test", "method": null, "scheme": null, "path": null, "headers": null, "body": null}'
    assert read_request(nothing) == read_request('{"authority": "h.test"}')


def test_headers_may_be_an_object():
    assert read_request('{"headers": {"a": "1"}}').headers == (("a", "1"),)


@pytest.mark.parametrize(
    "line",
    [
        '{"method": 1}', '{"path": []}', '{"body": {}}', '{"scheme": "ftp"}', '{"scheme": ""}', '{"headers": 1}', '{"headers": "ab"}',
        '{"headers": ["ab", "c"]}', '{"headers": [["a"]]}', '{"headers": [["a", "b", "c"]]}', '{"headers": [["a", 1]]}',
        '{"headers": [[null, "a"]]}', '{"headers": {"a": 1}}', '{"path": "\\ud83d"}', '{"body": "\\ud83d"}', "[1]", '"x"', "null", "1",
    ],
)  # fmt: skip
def test_wrong_fields_are_answered_with_the_right_ones(line):
    said = read_request(line)
    assert isinstance(said, str)
    assert FIELDS in said


@pytest.mark.parametrize("line", ["", "x", "{", '{"a": 1}}', "[" * 100_000, '{"method": ' + "1" * 5000 + "}"])
def test_what_is_no_json_is_said_to_be_none(line):
    assert read_request(line).startswith("not JSON: ")
