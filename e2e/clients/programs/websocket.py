"""A WebSocket client by hand: through the proxy, one handshake, then each word of the arguments is sent and its echo printed."""

import base64
import os
import socket
import ssl
import sys
from urllib.parse import urlsplit


def connected(authority: str) -> ssl.SSLSocket:
    proxy = urlsplit(os.environ["HTTPS_PROXY"])
    tunnel = socket.create_connection((proxy.hostname, proxy.port), timeout=20)
    tunnel.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    assert b" 200 " in head(tunnel), "no tunnel"
    return ssl.create_default_context().wrap_socket(tunnel, server_hostname=authority.partition(":")[0])


def head(connection: socket.socket) -> bytes:
    text = b""
    while not text.endswith(b"\r\n\r\n"):
        text += connection.recv(1)
    return text


def framed(text: bytes) -> bytes:
    mask = os.urandom(4)
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))


def frame(connection: socket.socket) -> str:
    _, length = connection.recv(2)
    return connection.recv(length).decode()


authority, *words = sys.argv[1:]
with connected(authority) as secure:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /ws HTTP/1.1\r\nHost: {authority}", "Upgrade: websocket", "Connection: Upgrade"]
    secure.sendall("\r\n".join([*lines, f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]).encode())
    print(head(secure).split(b"\r\n")[0].decode())
    for word in words:
        secure.sendall(framed(word.encode()))
        print(frame(secure))
