"""$E2E_CLUSTER chooses, nobody's cluster is used by mistake, and what is lacking is said with its remedy."""

import json

import pytest

from e2e.cluster import ControlPlane, Missing, chosen
from e2e.cluster.binaries import command
from e2e.kubernetes.lacks import MUST_RUN, or_skip

pytestmark = pytest.mark.cluster
KIND = """#!/bin/sh
echo "$@" >>{log}
case "$1 $2" in
  "get clusters") cat {clusters} ;;
  "get kubeconfig") cat {kubeconfig} ;;
esac
"""


@pytest.fixture
def kind(tmp_path, monkeypatch, breakable):
    """A `kind` that writes down what it is told, and leads to another cluster."""
    program, log, clusters = tmp_path / "kind", tmp_path / "log", tmp_path / "clusters"
    clusters.write_text("unrelated\n")
    program.write_text(KIND.format(log=log, clusters=clusters, kubeconfig=breakable.kubeconfig))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("E2E_CLUSTER", "kind")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return tmp_path


def told(kind) -> list[str]:
    return [" ".join(line.split()[:2]) for line in (kind / "log").read_text().splitlines()]


def test_the_machines_own_is_had_without_a_word(monkeypatch):
    monkeypatch.delenv("E2E_CLUSTER", raising=False)
    with chosen() as cluster:
        assert isinstance(cluster, ControlPlane)


def test_an_existing_one_is_the_current_context_and_no_other(monkeypatch, tmp_path, breakable):
    config = json.loads(breakable.kubeconfig.read_text())
    config["clusters"].append({"name": "production", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"].append({"name": "production", "context": {"cluster": "production", "user": "e2e"}})
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("E2E_CLUSTER", "existing")
    with chosen() as cluster:
        assert "kube-system" in cluster.kubectl("get", "namespaces")
        assert "production" not in cluster.kubeconfig.read_text()
        with pytest.raises(Missing, match="E2E_IMAGE="):
            cluster.load(tmp_path / "image.tar", "thing")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"E2E_CLUSTER": "existing"}, "set KUBECONFIG"),
        ({"E2E_CLUSTER": "mine"}, "E2E_CLUSTER=mine is not known: set it to existing or kind"),
        ({"E2E_CLUSTER": "kind", "PATH": ""}, "no kind: install it"),
    ],
)
def test_what_is_lacking_is_said(monkeypatch, environment, said):
    monkeypatch.delenv("KUBECONFIG", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Missing, match=said), chosen():
        pass


@pytest.mark.parametrize(("value", "raised"), [("1", Missing), ("", pytest.skip.Exception), (None, pytest.skip.Exception)])
def test_what_is_lacking_skips_a_test_or_fails_it_where_it_must_run(monkeypatch, value, raised):
    monkeypatch.delenv(MUST_RUN, raising=False)
    if value is not None:
        monkeypatch.setenv(MUST_RUN, value)
    with pytest.raises(raised, match="no Go: install it"), or_skip():
        raise Missing("no Go", "install it")


def test_kind_is_made_loaded_and_deleted(kind, tmp_path):
    with chosen(pods=True) as cluster:
        assert "kube-system" in cluster.kubectl("get", "namespaces")
        assert cluster.load(tmp_path / "image.tar", "thing:e2e") == "thing:e2e"
    assert told(kind) == ["get clusters", "create cluster", "get kubeconfig", "load image-archive", "delete cluster"]


def test_kind_that_is_there_already_is_left(kind):
    (kind / "clusters").write_text("groyne-e2e\n")
    with chosen():
        pass
    assert told(kind) == ["get clusters", "get kubeconfig"]


def test_binaries_of_kubebuilder_are_used_where_they_are(monkeypatch, tmp_path):
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert command("etcd") == [f"{tmp_path}/etcd"]
    assert command("apiserver") == [f"{tmp_path}/kube-apiserver"]
    assert command("controller-manager")[1:] == ["controller-manager"]
