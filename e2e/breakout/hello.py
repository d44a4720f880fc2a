"""A ClientHello written by hand, for what no TLS library offers: suites without encryption, an encrypted inner name, odd names."""

import os

USUAL = (0x1301, 0xC02B, 0xC02F)


def client_hello(name: str | None, *, suites: tuple[int, ...] = USUAL, version: int = 0x0303, ech: bool = False) -> bytes:
    body = version.to_bytes(2) + os.urandom(32) + block(os.urandom(32), 1)
    body += block(b"".join(suite.to_bytes(2) for suite in suites), 2) + b"\x01\x00" + block(extensions(name, version, ech=ech), 2)
    return b"\x16\x03\x01" + block(b"\x01" + block(body, 3), 2)


def extensions(name: str | None, version: int, *, ech: bool) -> bytes:
    found = b"" if name is None else extension(0, block(b"\x00" + block(name.encode("latin-1"), 2), 2))
    found += extension(10, block(b"\x00\x1d\x00\x17", 2)) + extension(11, b"\x01\x00")
    found += extension(13, block(b"\x04\x03\x08\x04\x04\x01", 2))
    if version == 0x0303:
        found += extension(43, block(b"\x03\x04\x03\x03", 1)) + extension(51, block(b"\x00\x1d" + block(os.urandom(32), 2), 2))
    if ech:
        found += extension(0xFE0D, b"\x00" + b"\x00\x01\x00\x01" + b"\x07" + block(os.urandom(32), 2) + block(os.urandom(144), 2))
    return found


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + block(content, 2)


def block(content: bytes, width: int) -> bytes:
    return len(content).to_bytes(width) + content
