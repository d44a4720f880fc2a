"""Fixtures that every end-to-end test may use: a throw-away authority that plays the public CA. And which tests begin first."""

from pathlib import Path

import pytest

from e2e.support.pki import Authority, make_authority

LONGEST = ("e2e/differential/", "e2e/kubernetes/faults/", "e2e/kubernetes/chaos/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes in one piece comes first: last, it would be waited for by workers with nothing else to do."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the servers' certificates; `groyne run --upstream-ca` is told to trust it."""
    return make_authority(Path(tmp_path_factory.mktemp("world")))
