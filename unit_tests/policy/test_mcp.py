"""Tool calls: what is denied, what passes, and that nothing unclear passes unread."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.mcp import MAX_BODY, MAX_DEPTH, SUPPORTED_VERSIONS, denial
from policy.program import McpToolPolicy, ToolRule
from unit_tests.policy.requests import request

VERSION = ("mcp-protocol-version", "2025-06-18")


def policy(*rules, default=False, version_deny=True):
    return McpToolPolicy(
        rules=tuple(ToolRule(method=method, tools=tools, allow=allow) for method, tools, allow in rules),
        default_allow=default,
        unsupported_version_deny=version_deny,
    )


READ_ONLY = policy(("tools/call", ("read", "\xc3\xa9"), True))
OPEN = policy(("tools/call", ("delete",), False), default=True)


def call(name, **more):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}} | more).encode()


def denied(body, judge=READ_ONLY, *, sent=(VERSION,), method="POST"):
    return denial(judge, request("/mcp", method=method, body=body, headers=sent))


def test_the_first_matching_tool_rule_decides_else_the_default():
    judge = policy(("tools/call", ("a",), True), ("tools/call", (), False), ("tools/call", ("b",), True), default=True)
    assert denied(call("a"), judge) is None
    assert denied(call("b"), judge) == "tool 'b' is not allowed"
    assert denied(call("x"), OPEN) is None
    assert denied(call("x"), READ_ONLY)


def test_a_tool_name_is_compared_as_text_however_json_spells_it():
    assert denied(b'{"method":"tools/call","params":{"name":"r\\u0065ad"}}') is None
    assert denied(b'{"method":"tools/call","params":{"name":"\\u0064elete"}}', OPEN)
    assert denied(call("é")) is None
    assert denied(b'{"params":{"arguments":{},"name":"delete"},\n "method":"tools/call"}', OPEN)


def test_only_a_name_directly_in_params_counts():
    nested = b'{"method":"tools/call","params":{"arguments":{"name":"delete"},"name":"x"}}'
    assert denied(nested, OPEN) is None


def test_a_rule_for_another_method_never_matches():
    assert denied(call("a"), policy(("tools/list", ("a",), False), default=True)) is None


@pytest.mark.parametrize(
    "body", [b'{"method":"tools/list"}', b'{"method":"initialize","params":[]}', b'{"id":1,"result":{}}', b"[]", b"{}", b'{"method":5}']
)
def test_what_is_no_call_passes(body):
    assert denied(body, policy(("tools/call", (), False)), sent=()) is None


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("DELETE", b""), ("POST", b""), ("GET", call("delete")), ("PUT", b"x")])
def test_streams_sessions_and_empty_bodies_pass(method, body):
    assert denied(body, OPEN, method=method) is None


@pytest.mark.parametrize("version", sorted(SUPPORTED_VERSIONS))
def test_known_versions_are_judged(version):
    assert denied(call("read"), sent=[("MCP-Protocol-Version", version)]) is None


@pytest.mark.parametrize("sent", [[], [("mcp-protocol-version", "")], [("mcp-protocol-version", "1999-01-01")], [VERSION, VERSION]])
def test_a_call_of_an_unknown_version_is_denied_or_passes_unjudged(sent):
    assert denied(call("read"), sent=sent) == "unsupported MCP-Protocol-Version"
    assert denied(call("delete"), policy(("tools/call", (), False), version_deny=False), sent=sent) is None


@pytest.mark.parametrize("bodies", [[call("read"), call("delete")], [b'{"method":"ping"}', call("delete")]])
def test_one_denied_call_denies_the_batch(bodies):
    assert denied(b"[" + b",".join(bodies) + b"]")
    assert denied(b"[" + b",".join(bodies[:1]) + b"]") is None


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"method=tools/call",
        b"tools/call",
        b'"tools/call"',
        b"5",
        b"null",
        b"[5]",
        b"[[]]",
        b'{"method":"ping"} {"method":"ping"}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\n"}',
        b'{"a":NaN}',
        b'{"a":01}',
        b"{'a':1}",
        b'{"method":"ping","method":"tools/call"}',
        b'{"method":"ping","Method":"tools/call"}',
        b'{"METHOD":"tools/call"}',
        b'{"method":"tools/call","params":{"name":"read","name":"delete"}}',
        b'{"method":"tools/call","params":{"name":"read","NAME":"delete"}}',
        b'{"method":"tools/call","params":{"name":"read"},"param\xc5\xbf":{"name":"delete"}}',
        b'{"method":"tools/call","params":{"name":"read"},"params":{"name":"read"}}',
        b'{"method":"tools/call"}',
        b'{"method":"tools/call","params":["read"]}',
        b'{"method":"tools/call","params":{}}',
        b'{"method":"tools/call","params":{"name":5}}',
        b'{"method":"tools/call","params":{"name":null}}',
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"[" * 100_000,
        b'{"a":"' + b"x" * MAX_BODY + b'"}',
    ],
)
def test_what_cannot_be_read_with_certainty_is_denied(body):
    assert denied(body, policy(("tools/call", (), True), default=True))


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_denied_unread(encoding):
    assert denied(call("read"), sent=[VERSION, ("Content-Encoding", encoding)]) == "the body is compressed"


def test_identity_is_no_compression():
    assert denied(call("read"), sent=[VERSION, ("content-encoding", "Identity")]) is None


def test_numbers_of_any_length_neither_fail_nor_take_long():
    assert denied(b'{"method":"ping","id":' + b"9" * 100_000 + b"}") is None
    assert denied(b'{"method":"ping","id":1e999999999}') is None


def test_brackets_in_strings_do_not_nest():
    assert denied(b'{"method":"ping","a":"' + b'[{\\"' * 100 + b'"}') is None


def test_a_long_name_is_cut_in_the_reason():
    assert len(denied(call("x" * 10_000))) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["method", "params", "name", "x"]), inner, max_size=3),
    max_leaves=8,
)


@given(st.one_of(st.binary(max_size=30), JSON.map(lambda value: json.dumps(value).encode())))
def test_no_body_raises_and_none_calls_a_tool_unseen(body):
    found = denied(body, policy(("tools/call", (), False)))
    if found is None and body:
        assert b"tools/call" not in body


@given(st.text(max_size=10))
def test_any_name_is_judged_by_its_bytes(name):
    wire = name.encode("utf-8", "surrogatepass").decode("latin-1")
    assert denied(call(name), policy(("tools/call", (wire,), True))) is None
    assert denied(call(name + "x"), policy(("tools/call", (wire,), True)))
