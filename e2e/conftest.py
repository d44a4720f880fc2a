"""Fixtures that every end-to-end test may use: a throw-away authority that plays the public CA."""

from pathlib import Path

import pytest

from e2e.support.pki import Authority, make_authority


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the servers' certificates; `groyne run --upstream-ca` is told to trust it."""
    return make_authority(Path(tmp_path_factory.mktemp("world")))
