"""Ports of loopback that are free now and stay ours: below those that the kernel gives to clients, so that a restart finds them free."""

import os
import socket
from itertools import count

_FIRST, _COUNT = 21_000, 11_000
_next = count(os.getpid() * 97)


def free_port() -> int:
    """Never the same twice in a process; other processes begin elsewhere."""
    for turn in _next:
        port = _FIRST + turn % _COUNT
        if _is_free(port):
            return port
    raise AssertionError


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
