"""Short ways to write requests in this package's tests."""

from policy.normalise import normalise
from policy.request import Malformed, RawRequest, Request


def raw(path="/", authority="h.test", *, method="GET", scheme="http", headers=(), body=b"", http2=False):
    return RawRequest(method=method, scheme=scheme, authority=authority, path=path, headers=tuple(headers), body=body, http2=http2)


def request(path="/", authority="h.test", **more) -> Request:
    result = normalise(raw(path, authority, **more))
    assert isinstance(result, Request), result
    return result


def refusal(path="/", authority="h.test", **more) -> Malformed:
    result = normalise(raw(path, authority, **more))
    assert isinstance(result, Malformed), result
    return result
