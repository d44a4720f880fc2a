"""Which hosts a proxy connection leads to, read from the bytes that pass by. Pure: bytes in, hosts out.

The relay has to find the tunnels to a host that an edited policy blocks, and Envoy does not say which connection carries which.
Only a connection that begins with CONNECT and is answered with 2xx is a tunnel for good, and is not looked at any more.
Any other stays HTTP, where a later request may still be a CONNECT: there every client byte is searched, so that hiding
one behind other requests, in pieces or in a body at worst names a host too many.
"""

import re

# Not one byte of an authority is consumed, so that no match can hide the next. Any byte up to the space separates words, as in
# Envoy's parser; a match without an authority is a longer gap or name than anybody needs, made to be lost between two chunks.
_CONNECT = re.compile(rb"CONNECT(?:[\0- ]{65}|[\0- ]{1,64}(?=([!-\xff]{1,512})[\0- ]|[!-\xff]{513}))")
_UPGRADE = re.compile(rb"\nupgrade[ \t]*:", re.IGNORECASE)
_LEADING = b"CONNECT "
_PREFACE = b"PRI * HTTP/2"
_ESTABLISHED = re.compile(rb"HTTP/1\.[01] 2")
_REPLY_HEAD = len(b"HTTP/1.1 2")
_TAIL = 600  # longer than anything that a pattern can match
_MOST_HOSTS = 64


class Sniffer:
    """One connection's destinations. `tunnel`: CONNECT was accepted, nothing more to read; `foreign`: not HTTP/1, to be refused.

    `opaque` connections may lead anywhere (an upgrade outside a tunnel, too many hosts): whoever closes by host closes these too.
    """

    __slots__ = ("_head", "_reply", "_tail", "foreign", "hosts", "opaque", "tunnel")

    def __init__(self) -> None:
        self.hosts: set[tuple[str, int]] = set()
        self.tunnel = False
        self.opaque = False
        self.foreign = False
        self._head = b""
        self._reply = b""
        self._tail = b""

    def from_client(self, chunk: bytes) -> None:
        if self.tunnel:
            return
        if len(self._head) < len(_PREFACE):
            self._head = (self._head + chunk[: len(_PREFACE)])[: len(_PREFACE)]
            self.foreign = self._head == _PREFACE
        text = self._tail + chunk
        for found in _CONNECT.finditer(text):
            if found[1] is None:
                self.opaque = True
            else:
                self._note(found[1])
        self.opaque = self.opaque or _UPGRADE.search(text) is not None
        self._tail = text[-_TAIL:]

    def from_server(self, chunk: bytes) -> None:
        if len(self._reply) >= _REPLY_HEAD:
            return
        self._reply += chunk[:_REPLY_HEAD]
        if _ESTABLISHED.match(self._reply) and self._head.startswith(_LEADING):
            self.tunnel = True
            self._tail = b""

    @property
    def wants_server_bytes(self) -> bool:
        return len(self._reply) < _REPLY_HEAD

    def _note(self, authority: bytes) -> None:
        if len(self.hosts) >= _MOST_HOSTS:
            self.opaque = True
        else:
            self.hosts.add(split_authority(authority.decode("latin-1")))


def split_authority(authority: str) -> tuple[str, int]:
    """Host in lower case without brackets and trailing dot, and port (443 where none is given)."""
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 443
    return host.lower().removeprefix("[").removesuffix("]").rstrip("."), number
