"""Attempts to call a tool that a policy denies: in other words, in a body that two readers read differently, before the verdict."""

import time

import pytest

from e2e.breakout.laptop import Attempt, Laptop, allowed, leaks, refused, refused_each
from e2e.breakout.raw import Seen, Stream, request, secure
from e2e.breakout.tools import MCP, MCP_LINES, mcp, tool_call

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

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


def test_the_credential_was_nowhere_but_at_its_host(lax: Laptop) -> None:
    assert not leaks(lax)
