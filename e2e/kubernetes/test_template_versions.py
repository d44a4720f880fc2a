"""SandboxTemplates in whatever version their owner serves them, through an upgrade, with the controller running all the while.

In the definition both versions mean the same, so that no webhook has to convert.
"""

from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import ControlPlane, control_plane
from e2e.kubernetes import publications
from e2e.kubernetes.controller_process import ROOT, established, install, running
from e2e.kubernetes.team import Team
from e2e.support.waiting import until
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import profile, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
COLLECTED = 100.0
"""The garbage collector looks for new kinds every thirty seconds, and follows what it knows of only then."""
GROUP = "extensions.agents.x-k8s.io"


def definition(*served: str) -> dict[str, Any]:
    """The first one is stored."""
    found = publications.in_both_versions(publications.crds(ROOT / "kustomize")["SandboxTemplate"])
    versions = {each["name"]: each for each in found["spec"]["versions"]}
    kept = [{**versions[name], "served": True, "storage": name == served[0]} for name in served]
    spec = found["spec"] | {"versions": kept}
    return {**{name: found[name] for name in ("apiVersion", "kind")}, "metadata": {"name": found["metadata"]["name"]}, "spec": spec}


def define(cluster: ControlPlane, *served: str) -> None:
    cluster.apply(definition(*served))
    established(cluster)
    until(lambda: f"{GROUP}/{served[0]}" in cluster.kubectl("api-versions"), "the version is served")


def older(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "apiVersion": f"{GROUP}/v1alpha1"}


def owned_as(team: Team, kind: str, name: str) -> str:
    found = team.wait(kind, name)
    return found["metadata"]["ownerReferences"][0]["apiVersion"].rpartition("/")[2]


def test_templates_of_the_older_version_are_looked_after_through_the_upgrade_and_beyond(tmp_path: Path):
    """v1alpha1 alone; then v1beta1 beside it, which is then read, and what is owned names it; then v1beta1 alone."""
    with control_plane() as cluster:
        define(cluster, "v1alpha1")
        cluster.kubectl("apply", "--server-side", "--kustomize", str(ROOT / "kustomize" / "crds"))
        install(cluster, "beside-others")
        cluster.kubectl("create", "namespace", "team-a")
        team = Team(cluster, "team-a")
        team.opt_in()
        team.apply(older(template("python")), older(template("leaving")), profile("limits"))
        with running(cluster, tmp_path / "replica.log") as replica:
            before = team.wait("networkpolicy", "python-network-policy")
            assert owned_as(team, "networkpolicy", "python-network-policy") == "v1alpha1"
            team.wait("secret", "python-egress")
            assert team.get("sandboxtemplate", "python")["metadata"]["labels"][HASH_LABEL] == name_hash("python")
            team.delete("sandboxtemplate", "leaving")
            for kind, name in (("networkpolicy", "leaving-network-policy"), ("secret", "leaving-egress")):
                team.gone(kind, name, COLLECTED)

            define(cluster, "v1beta1", "v1alpha1")
            until(lambda: "read as v1beta1 from now on" in replica.said(), "the newer version is read")
            for kind, name in (("networkpolicy", "python-network-policy"), ("secret", "python-egress")):
                until(lambda each=(kind, name): owned_as(team, *each) == "v1beta1", f"{kind} names its owner as it is read")
            assert team.get("networkpolicy", "python-network-policy")["metadata"]["uid"] == before["metadata"]["uid"]
            team.apply(template("newer", volumeClaimTemplatesPolicy="Allowed"), older(template("late")))
            for name in ("newer", "late"):
                assert owned_as(team, "networkpolicy", f"{name}-network-policy") == "v1beta1"
                team.wait("sandboxtemplate", name, lambda found: HASH_LABEL in found["metadata"].get("labels", {}))

            migrate(cluster, team)
            define(cluster, "v1beta1")
            cluster.restart("controller-manager")  # the collector learns of a changed definition late, and misses what goes until then
            team.apply(template("last"))
            team.wait("networkpolicy", "last-network-policy")
            team.delete("sandboxtemplate", "python")
            for kind, name in (("networkpolicy", "python-network-policy"), ("secret", "python-egress")):
                team.gone(kind, name, COLLECTED)
            team.condition("limits", "Programmed", "True", "Distributed")
            assert "Traceback" not in replica.said()


def migrate(cluster: ControlPlane, team: Team) -> None:
    """As an owner does before a version goes: everything is stored anew, and the definition forgets that it ever was otherwise."""
    for name in ("python", "newer", "late"):
        cluster.kubectl("annotate", "sandboxtemplate", name, "stored=anew", "--namespace", team.namespace)
    stored = '{"status":{"storedVersions":["v1beta1"]}}'
    cluster.kubectl("patch", "crd", definition("v1beta1")["metadata"]["name"], "--subresource=status", "--type=merge", "-p", stored)


def test_a_downgrade_is_survived_too(tmp_path: Path):
    with control_plane() as cluster:
        define(cluster, "v1beta1", "v1alpha1")
        cluster.kubectl("apply", "--server-side", "--kustomize", str(ROOT / "kustomize" / "crds"))
        install(cluster, "beside-others")
        cluster.kubectl("create", "namespace", "team-a")
        team = Team(cluster, "team-a")
        team.apply(template("python"))
        with running(cluster, tmp_path / "replica.log") as replica:
            before = team.wait("networkpolicy", "python-network-policy")
            found = definition("v1alpha1", "v1beta1")
            found["spec"]["versions"][1]["served"] = False
            cluster.apply(found)
            until(lambda: "read as v1alpha1 from now on" in replica.said(), "the older version is read")
            until(lambda: owned_as(team, "networkpolicy", "python-network-policy") == "v1alpha1", "the owner is named in it")
            assert team.get("networkpolicy", "python-network-policy")["metadata"]["uid"] == before["metadata"]["uid"]
            team.apply(older(template("after")))
            team.wait("networkpolicy", "after-network-policy")
