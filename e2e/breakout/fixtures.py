"""The world and the laptops that the tests of tls, http, network and objects share: made once a process, each with its policy."""

from collections.abc import Iterator

import pytest

from e2e.breakout import policies
from e2e.breakout.laptop import Laptop, canary, laptop
from e2e.breakout.ways import Way, in_the_clear, intercepted
from e2e.breakout.world import World, world


@pytest.fixture(scope="session")
def outside() -> Iterator[World]:
    with world() as made:
        yield made


@pytest.fixture(scope="session")
def deny(outside: World) -> Iterator[Laptop]:
    """Allows what it names; the last rule blocks `*`."""
    token = canary()
    with laptop(outside, "deny", policies.files(policies.DENY, token), token) as running:
        yield running


@pytest.fixture(scope="session")
def lax(outside: World) -> Iterator[Laptop]:
    """Has no last rule; blocks evil.test, and of api.ok.test a path, a header, a method."""
    token = canary()
    with laptop(outside, "lax", policies.files(policies.OPEN, token), token) as running:
        yield running


@pytest.fixture(params=["deny", "lax"])
def either(request: pytest.FixtureRequest) -> Laptop:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[in_the_clear, intercepted], ids=["in the clear", "intercepted"])
def way(request: pytest.FixtureRequest) -> Way:
    return request.param
