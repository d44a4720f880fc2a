"""Attempts to hide one request in another: lengths, chunks and line ends that two readers read differently."""

import pytest

from e2e.breakout.laptop import Laptop, refused_each
from e2e.breakout.raw import request
from e2e.breakout.ways import HOST, Way, path

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

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
