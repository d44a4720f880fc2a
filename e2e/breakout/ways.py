"""The two ways in which a request reaches a manager of Envoy: in the clear, and inside intercepted TLS."""

from collections.abc import Callable

from e2e.breakout.laptop import Attempt
from e2e.breakout.raw import request

HOST = "api.ok.test"
Way = Callable[[bytes], Attempt]


def in_the_clear(data: bytes) -> Attempt:
    return lambda laptop: laptop.plain(data)


def intercepted(data: bytes) -> Attempt:
    return lambda laptop: laptop.tls(f"{HOST}:443", HOST, data)


def path(target: str, method: str = "GET") -> bytes:
    return request(target, HOST, method=method)
