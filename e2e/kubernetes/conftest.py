"""The clusters that tests run on, by fixture. $E2E_CLUSTER chooses: `existing` ($KUBECONFIG), `kind`, or none of them: the machine's own.

    cluster     one for the session, shared: leave it as it was found
    namespace   one of that cluster for each test, deleted after it
    breakable   a control plane of the module's own, whatever $E2E_CLUSTER says: to be restarted, compacted, starved

What a machine lacks is why a test is skipped, in those words. Kubernetes is built when the tests have been collected, not within
a test's time.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.cluster import Cluster, ControlPlane, Missing, control_plane
from e2e.cluster.binaries import binaries
from e2e.cluster.choice import chosen

HERE = __package__.replace(".", "/")


def pytest_collection_finish(session: pytest.Session) -> None:
    """The first build takes minutes, which no test should be blamed for."""
    ours = any(HERE in item.path.as_posix() for item in session.items)
    if ours and not session.config.option.collectonly:
        try:
            binaries()
        except Missing:
            return  # the fixture says it, to the tests that need it


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with _or_skip(), chosen() as found:
        yield found


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"e2e-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def breakable() -> Iterator[ControlPlane]:
    with _or_skip(), control_plane() as found:
        yield found


@contextmanager
def _or_skip() -> Iterator[None]:
    try:
        yield
    except Missing as lack:
        pytest.skip(str(lack))
