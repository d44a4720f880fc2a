"""The clusters that tests run on, by fixture. $E2E_CLUSTER chooses: `existing` ($KUBECONFIG), `kind`, or none of them: the machine's own.

    cluster     one for the session, shared: leave it as it was found. It may have no nodes
    namespace   one of that cluster for each test, deleted after it
    breakable   a control plane of the module's own, whatever $E2E_CLUSTER says: to be restarted, compacted, starved
    pods        one for the session whose nodes run pods
    image       what those pods call Groyne's controller: made and loaded, or $E2E_IMAGE
    tools       an image with a shell and a few tools, for the pods of users: made and loaded, or $E2E_TOOLS_IMAGE

What a machine lacks is why a test is skipped, in those words; with $E2E_MUST_RUN it fails. Kubernetes is built when the tests have been collected, not within
a test's time.
"""

import os
import secrets
from collections.abc import Iterator

import pytest

from e2e.cluster import Cluster, ControlPlane, Missing, Node, chosen, control_plane, images
from e2e.cluster.binaries import binaries
from e2e.cluster.workplace import workplace
from e2e.kubernetes.lacks import or_skip

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
    with or_skip(), chosen() as found:
        yield found


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    name = f"e2e-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def breakable() -> Iterator[ControlPlane]:
    with or_skip(), control_plane() as found:
        yield found


@pytest.fixture(scope="session")
def pods() -> Iterator[Cluster]:
    with or_skip(), chosen(pods=True) as found:
        yield found


@pytest.fixture(scope="session")
def image(pods: Cluster) -> str:
    if named := os.environ.get("E2E_IMAGE"):
        return named
    with or_skip(), workplace("image") as work:
        return pods.load(images.controller(work / "controller.tar"), images.CONTROLLER)


@pytest.fixture(scope="session")
def tools(pods: Cluster) -> str:
    if named := os.environ.get("E2E_TOOLS_IMAGE"):
        return named
    if isinstance(pods, Node):  # it has them
        return images.TOOLS
    with or_skip(), workplace("image") as work:
        return pods.load(images.tools(work / "tools.tar"), images.TOOLS)
