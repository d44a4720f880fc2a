"""The little of DNS's wire format that a forwarder for A and AAAA needs: query bytes in, answer bytes out.

A packet that is no plain query of one question gives None: it is dropped, never answered and never raised about. The question is
echoed byte for byte, because a client that mixes the case of its letters checks that it gets them back.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address

A, OPT, AAAA, IN = 1, 41, 28, 1
# What passes any network in one datagram, and what a client without EDNS takes.
MAX_UDP, MIN_UDP = 1232, 512
MAX_MESSAGE = 65_535
_HEADER = struct.Struct("!6H")
_QR, _TC, _RD, _RA, _OPCODE = 0x8000, 0x0200, 0x0100, 0x0080, 0x7800
_POINTER_TO_QUESTION = b"\xc0\x0c"


class Rcode(IntEnum):
    NOERROR = 0
    SERVFAIL = 2
    NXDOMAIN = 3
    REFUSED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """`host` is lower case without a trailing dot, None where a label is no plain ASCII; `udp_size` is 0 without EDNS."""

    id: int
    recursion: bool
    question: bytes
    host: str | None
    qtype: int
    udp_size: int = 0


def parse_query(packet: bytes) -> Query | None:
    """A standard query with one question of class IN."""
    try:
        ident, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
        if flags & (_QR | _TC | _OPCODE) or (questions, answers, authorities) != (1, 0, 0):
            return None
        labels, end = _labels(packet, _HEADER.size)
        qtype, qclass = struct.unpack_from("!2H", packet, end)
        udp_size = _udp_size(packet, end + 4, additional)
    except (struct.error, IndexError, ValueError):
        return None
    if qclass != IN:
        return None
    question = packet[_HEADER.size : end + 4]
    return Query(id=ident, recursion=bool(flags & _RD), question=question, host=_host(labels), qtype=qtype, udp_size=udp_size)


def answer(query: Query, rcode: Rcode, addresses: Sequence[str] = (), ttl: int = 0, *, udp: bool) -> bytes:
    """The reply; over UDP one that does not fit is sent empty and marked, so that the client comes back over TCP."""
    records = [_record(address, ttl) for address in addresses]
    extra = [b"\0" + struct.pack("!HHIH", OPT, MAX_UDP, 0, 0)] if query.udp_size else []
    size = _HEADER.size + len(query.question) + sum(map(len, [*records, *extra]))
    limit = min(max(query.udp_size, MIN_UDP), MAX_UDP) if udp else MAX_MESSAGE
    truncated = size > limit
    if truncated:
        records = []
    flags = _QR | _RA | (_RD if query.recursion else 0) | (_TC if truncated else 0) | rcode
    header = _HEADER.pack(query.id, flags, 1, len(records), 0, len(extra))
    return b"".join([header, query.question, *records, *extra])


def _labels(packet: bytes, at: int) -> tuple[list[bytes], int]:
    """A name's labels and where it ends. Queries have no reason to compress: a pointer is refused."""
    labels: list[bytes] = []
    begin = at
    while length := packet[at]:
        if length > 63 or at + length + 2 - begin > 255:
            raise ValueError
        label = packet[at + 1 : at + 1 + length]
        if len(label) < length:
            raise ValueError
        labels.append(label)
        at += 1 + length
    return labels, at + 1


def _udp_size(packet: bytes, at: int, additional: int) -> int:
    """What the OPT record says, if there is one; other additional records (a signature) are passed over."""
    for _ in range(min(additional, 4)):
        _, at = _labels(packet, at)
        kind, size, _, length = struct.unpack_from("!HHIH", packet, at)
        at += 10 + length
        if at > len(packet):
            raise ValueError
        if kind == OPT:
            return max(int(size), MIN_UDP)
    return 0


def _host(labels: list[bytes]) -> str | None:
    plain = labels and all(label.isascii() and label.replace(b"-", b"").replace(b"_", b"").isalnum() for label in labels)
    return b".".join(labels).decode().lower() if plain else None


def _record(address: str, ttl: int) -> bytes:
    data = ip_address(address).packed
    kind = A if len(data) == 4 else AAAA
    return _POINTER_TO_QUESTION + struct.pack("!HHIH", kind, IN, ttl, len(data)) + data
