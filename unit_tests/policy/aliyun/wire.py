"""Requests as they stand on the wire → what the policy sees, and what becomes of them when they are signed."""

import base64
from dataclasses import replace
from typing import Any

from policy.aliyun import AliyunCredential, Signed, sign
from policy.domains import DomainPattern, parse_domain
from policy.normalise import normalise
from policy.request import RawRequest, Request


def pattern(text: str) -> DomainPattern:
    parsed = parse_domain(text)
    assert isinstance(parsed, DomainPattern)
    return parsed


SLASHES = frozenset({pattern("*.aliyuncs.com")})
"""One of the vendor's SDKs escapes the slashes in objects' names."""


def arrived(method: str, host: str, target: str, headers: Any = (), body: bytes = b"") -> Request:
    lines = tuple((name, value) for name, value in headers)
    raw = RawRequest(method=method, scheme="https", authority=host, path=target, headers=lines, body=body)
    request = normalise(raw, SLASHES)
    assert isinstance(request, Request), request
    return request


def read(said: Any) -> Request:
    return arrived(said["method"], said["host"], said["target"], said["headers"], base64.b64decode(said["body"]))


def signed(request: Request, credential: AliyunCredential) -> Request:
    """The request as it goes on."""
    result = sign(request, credential)
    assert isinstance(result, Signed), result
    headers = dict(request.headers) | dict(result.set_headers)
    kept = tuple((name, value) for name, value in headers.items() if name not in result.remove_headers)
    return replace(request, headers=kept, target=result.target or request.target)
