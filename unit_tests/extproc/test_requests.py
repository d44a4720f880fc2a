"""What Envoy shows → the request that rules read: reading what was normalised once more changes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from extproc.events import Headers
from extproc.requests import PROTOCOL, read_request
from policy.normalise import normalise
from policy.request import RawRequest, Request

LINES = st.lists(st.sampled_from(["a=b", "", "c", "d=e; f", "x;y"]), min_size=1, max_size=4)


def shown(cookie, protocol="HTTP/2"):
    """As Envoy's header list has it, with all cookies in one line."""
    lines = ((":method", "GET"), (":scheme", "https"), (":authority", "api.test"), (":path", "/"), ("cookie", cookie))
    return read_request(Headers(lines=lines, attributes={PROTOCOL: protocol}), ())


@given(LINES)
def test_cookies_that_envoy_has_put_together_mean_the_same(cookies):
    """Whatever was empty among them."""
    raw = RawRequest(
        method="GET", scheme="https", authority="api.test", path="/", headers=tuple(("cookie", c) for c in cookies), http2=True
    )
    direct = normalise(raw, ())
    assert isinstance(direct, Request)
    joined = direct.header("cookie")
    if joined is not None:
        found = shown(joined)
        assert isinstance(found, Request), found
        assert found.header("cookie") == joined
