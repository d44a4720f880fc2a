"""DNS packets as dnspython, an independent reader, writes and reads them; and rubbish, which is dropped."""

import dns.flags
import dns.message
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groyne.dns_wire import MAX_UDP, Query, Rcode, answer, parse_query


def query(name: str = "api.test", kind: str = "A", **options) -> bytes:
    return dns.message.make_query(name, kind, **options).to_wire()


def parsed(packet: bytes) -> Query:
    found = parse_query(packet)
    assert found is not None
    return found


def test_a_query_is_read():
    """Name in lower case, type, identity, and what the client takes over UDP."""
    made = dns.message.make_query("Api.TEST", "AAAA", use_edns=0, payload=1400)
    found = parsed(made.to_wire())
    assert (found.id, found.host, found.qtype, found.udp_size, found.recursion) == (made.id, "api.test", 28, 1400, True)
    assert parsed(query()).udp_size == 0


def test_an_answer_is_understood():
    """Addresses of both families, their lifetime, and the question as it was asked."""
    made = dns.message.make_query("aPi.TesT", "AAAA", use_edns=0)
    reply = dns.message.from_wire(answer(parsed(made.to_wire()), Rcode.NOERROR, ["2001:4860::1", "2001:4860::2"], 7, udp=True))
    assert made.is_response(reply)
    assert reply.question[0].name.to_text() == "aPi.TesT."
    assert reply.answer[0].ttl == 7
    assert [record.address for record in reply.answer[0]] == ["2001:4860::1", "2001:4860::2"]
    assert reply.edns == 0
    assert reply.flags & dns.flags.RA


@pytest.mark.parametrize("rcode", list(Rcode))
def test_every_outcome_reaches_the_client(rcode):
    """Also to a client without EDNS, which gets none back."""
    reply = dns.message.from_wire(answer(parsed(query(use_edns=False)), rcode, udp=True))
    assert reply.rcode() == rcode
    assert reply.edns == -1


@pytest.mark.parametrize(("edns", "fits"), [(None, 30), (512, 29), (1232, 74), (4096, 74)])
def test_what_does_not_fit_a_datagram_is_sent_over_tcp(edns, fits):
    """Never more than 1232 bytes, 512 without EDNS; TCP takes everything."""
    options = {"use_edns": False} if edns is None else {"use_edns": 0, "payload": edns}
    asked = parsed(query(**options))
    for count, truncated in ((fits, False), (fits + 1, True)):
        addresses = [f"8.8.{number // 250}.{number % 250}" for number in range(count)]
        packet = answer(asked, Rcode.NOERROR, addresses, udp=True)
        reply = dns.message.from_wire(packet)
        assert bool(reply.flags & dns.flags.TC) is truncated
        assert len(packet) <= MAX_UDP
        assert len(reply.answer[0]) == count if not truncated else not reply.answer
        assert len(dns.message.from_wire(answer(asked, Rcode.NOERROR, addresses, udp=False)).answer[0]) == count


def broken() -> dict[str, bytes]:
    good = query(use_edns=False)
    pointer = good[:12] + b"\xc0\x0c" + good[-4:]
    return {
        "empty": b"",
        "short header": good[:11],
        "no question": good[:12],
        "cut name": good[:15],
        "cut type": good[:-3],
        "an answer": good[:2] + b"\x80" + good[3:],
        "another opcode": good[:2] + b"\x28" + good[3:],
        "two questions": good[:5] + b"\x02" + good[6:],
        "answers inside": good[:7] + b"\x01" + good[8:],
        "pointer": pointer,
        "label type": good[:12] + b"\x41" + good[13:],
        "class CHAOS": good[:-1] + b"\x03",
        "additional missing": good[:11] + b"\x01" + good[12:],
        "additional cut": query(use_edns=0)[:-1],
        "name too long": good[:12] + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0\0\1\0\1",
    }


@pytest.mark.parametrize("packet", broken().values(), ids=broken())
def test_what_is_no_query_is_dropped(packet):
    """No answer, so nothing to be amplified and nothing to be confused by."""
    assert parse_query(packet) is None


@pytest.mark.parametrize("label", [b"a b", b"a\0b", b"\xff", b"a.b", b"*", b"a/b"])
def test_labels_that_are_no_host_name_have_no_host(label):
    """They are answered (with NXDOMAIN), never looked up."""
    packet = query("x.test", use_edns=False)
    found = parsed(packet[:12] + bytes([len(label)]) + label + packet[14:])
    assert found.host is None
    assert dns.message.from_wire(answer(found, Rcode.NXDOMAIN, udp=True)).rcode() == Rcode.NXDOMAIN


@given(st.one_of(st.binary(max_size=600), st.binary(max_size=300).map(lambda tail: query()[:12] + tail)))
def test_nothing_that_arrives_raises(packet):
    """Arbitrary bytes, also behind a proper header."""
    found = parse_query(packet)
    if found is not None:
        assert answer(found, Rcode.NXDOMAIN, udp=True).startswith(packet[:2])
