"""Which hosts a connection leads to."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groyne.isolation.tunnels import Sniffer, split_authority


def sniffed(*chunks: bytes, answer: bytes = b"") -> Sniffer:
    sniffer = Sniffer()
    for chunk in chunks:
        sniffer.from_client(chunk)
    sniffer.from_server(answer)
    return sniffer


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("api.test:443", ("api.test", 443)),
        ("API.Test.:8443", ("api.test", 8443)),
        ("[2001:DB8::1]:443", ("2001:db8::1", 443)),
        ("[::1]", ("::1", 443)),
        ("api.test", ("api.test", 443)),
        ("api.test:", ("api.test", 443)),
        ("api.test:99999999999", ("api.test", 443)),
        ("api.test:²", ("api.test", 443)),
    ],
)
def test_an_authority_is_read_as_envoy_compares_hosts(authority: str, expected: tuple[str, int]) -> None:
    assert split_authority(authority) == expected


def test_an_accepted_connect_is_a_tunnel_and_not_searched_any_more() -> None:
    sniffer = sniffed(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", answer=b"HTTP/1.1 200 OK\r\n\r\n")
    sniffer.from_client(b"CONNECT b.test:443 HTTP/1.1\r\n\r\n")
    assert sniffer.tunnel
    assert sniffer.hosts == {("a.test", 443)}


def test_a_refused_connect_is_no_tunnel_and_the_next_one_is_seen() -> None:
    sniffer = sniffed(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", answer=b"HTTP/1.1 403 Forbidden\r\n\r\n")
    sniffer.from_client(b"CONNECT b.test:443 HTTP/1.1\r\n\r\n")
    assert not sniffer.tunnel
    assert sniffer.hosts == {("a.test", 443), ("b.test", 443)}


@pytest.mark.parametrize(
    "before",
    [b"GET http://a.test/ HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"POST / HTTP/1.1\r\n\r\nCONNECT x", b"CONNECTCONNECT "],
)
def test_a_connect_behind_other_bytes_is_seen(before: bytes) -> None:
    assert ("evil.test", 443) in sniffed(before, b"CONNECT evil.test:443 HTTP/1.1\r\n").hosts


@given(st.lists(st.integers(min_value=1, max_value=60)))
def test_a_connect_in_pieces_is_seen(cuts: list[int]) -> None:
    text = b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\nCONNECT\tevil.test:8443 HTTP/1.1\r\n\r\n"
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    chunks = [text[start:end] for start, end in pairwise(edges)]
    assert sniffed(*chunks).hosts == {("evil.test", 8443)}


def test_a_body_that_names_a_host_does_not_end_the_search() -> None:
    """Otherwise an answered POST would hide the tunnel that follows on the same connection."""
    sniffer = sniffed(b"POST / HTTP/1.1\r\n\r\nCONNECT ok.test:443 ", answer=b"HTTP/1.1 200 OK\r\n\r\n")
    sniffer.from_client(b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n")
    assert ("evil.test", 443) in sniffer.hosts


@pytest.mark.parametrize("chunks", [(b"PRI * HTTP/2.0\r\n",), (b"P", b"RI * HT", b"TP/2.0\r\n\r\n")])
def test_http2_is_foreign_in_pieces_too(chunks: tuple[bytes, ...]) -> None:
    assert sniffed(*chunks).foreign
    assert not sniffed(b"PRINT / HTTP/1.1\r\n\r\n").foreign


def test_an_upgrade_outside_a_tunnel_is_opaque() -> None:
    assert sniffed(b"GET http://a.test/ HTTP/1.1\r\nupGrade : websocket\r\n\r\n").opaque
    assert not sniffed(b"GET http://a.test/upgrade: HTTP/1.1\r\n\r\n").opaque


@pytest.mark.parametrize("text", [b"CONNECT" + b" " * 700 + b"evil.test:443 ", b"CONNECT " + b"a" * 600 + b".evil.test:443 "])
def test_what_is_too_long_to_be_seen_whole_is_opaque(text: bytes) -> None:
    assert sniffed(text[:650], text[650:]).opaque


def test_more_hosts_than_can_be_kept_make_a_connection_opaque() -> None:
    sniffer = sniffed(b"".join(b"CONNECT h%d.test:443 \r\n" % number for number in range(100)))
    assert sniffer.opaque
    assert len(sniffer.hosts) == 64
