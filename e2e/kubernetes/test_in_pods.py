"""The controller as users have it: the kustomization's Deployment in pods on a node, two replicas of which one leads, rolled and killed.

The image is the one that the other tests of pods have; probes, security context, account, network policy and rights are the
kustomization's own. What kubelet makes of a Secret and of the annotation on its pods is seen from within a sandbox's pod.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster
from e2e.kubernetes.controller_process import NAMESPACE, ROOT, established
from e2e.kubernetes.team import Team
from e2e.support.waiting import until
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
DEPLOYMENT, LEASE = "deployment/groyne-controller", "groyne-controller"
TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
WHOLE_CONFIGURATION = "/etc/groyne"
ROLLED = 120.0


@pytest.fixture(scope="module")
def deployed(pods: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """By an overlay of a user's own, which names the image, and `kubectl apply -k`."""
    pods.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(overlay(tmp_path_factory.mktemp("overlay"), image)))
    established(pods)
    rolled(pods)
    yield pods
    pods.kubectl("scale", DEPLOYMENT, "--replicas=0", "--namespace", NAMESPACE)


def overlay(directory: Path, image: str) -> Path:
    name, _, tag = image.rpartition(":")
    base = "../" * (len(directory.parts) - 1) + str((ROOT / "kustomize" / "overlays" / "default").relative_to("/"))
    images = [{"name": "groyne", "newName": name, "newTag": tag}]
    (directory / "kustomization.yaml").write_text(json.dumps({"resources": [base], "images": images}))
    return directory


def rolled(cluster: Cluster) -> None:
    cluster.kubectl("rollout", "status", DEPLOYMENT, "--namespace", NAMESPACE, f"--timeout={ROLLED:.0f}s")


@pytest.fixture(scope="module")
def team(deployed: Cluster) -> Iterator[Team]:
    found = Team(deployed, "in-pods")
    deployed.kubectl("create", "namespace", found.namespace)
    found.opt_in()
    yield found
    deployed.kubectl("delete", "namespace", found.namespace, "--wait=false")


def controllers(cluster: Cluster) -> list[dict[str, Any]]:
    found = cluster.get("pods", "--namespace", NAMESPACE, "--selector", "app.kubernetes.io/component=controller")["items"]
    return [each for each in found if "deletionTimestamp" not in each["metadata"]]


def ready(cluster: Cluster) -> list[str]:
    return [conditions(each).get("Ready", "") for each in controllers(cluster)]


def conditions(raw: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in raw["status"].get("conditions", [])}


def restarts(cluster: Cluster) -> set[int]:
    return {each["restartCount"] for pod in controllers(cluster) for each in pod["status"]["containerStatuses"]}


def leader(cluster: Cluster) -> str:
    """The pod's name, of an identity that ends in what tells processes apart."""
    holder: str = cluster.get("lease", LEASE, "--namespace", NAMESPACE)["spec"].get("holderIdentity") or ""
    return holder.rpartition("_")[0]


def looked_after(team: Team, name: str) -> None:
    team.apply(template(name))
    team.wait("networkpolicy", f"{name}-network-policy")


def test_two_replicas_are_ready_as_somebody_without_rights_and_a_template_is_looked_after(team: Team):
    cluster = team.cluster
    assert ready(cluster) == ["True", "True"]
    assert until(lambda: leader(cluster), "one leads") in {each["metadata"]["name"] for each in controllers(cluster)}
    looked_after(team, "first")
    pod = next(each["metadata"]["name"] for each in controllers(cluster))
    said = cluster.kubectl("exec", pod, "--namespace", NAMESPACE, "--", "/bin/sh", "-c", "id -u; touch /app/x 2>&1 || true")
    assert said.splitlines()[0] == "65532"
    assert "Read-only" in said


def test_when_the_leaders_pod_goes_the_other_leads_and_nothing_restarts(team: Team):
    cluster, led = team.cluster, until(lambda: leader(team.cluster), "a leader")
    cluster.kubectl("delete", "pod", led, "--namespace", NAMESPACE, "--wait=false")
    until(lambda: leader(cluster) not in ("", led), "another leader")
    looked_after(team, "second")
    until(lambda: ready(cluster) == ["True", "True"], "two replicas again", 90)
    assert restarts(cluster) == {0}


def test_a_rolling_restart_hands_over_and_no_template_waits(team: Team):
    """A setting that changes is a rollout. Meanwhile there are always two that are ready, and templates get their policies."""
    cluster, before = team.cluster, {each["metadata"]["name"] for each in controllers(team.cluster)}
    cluster.kubectl("rollout", "restart", DEPLOYMENT, "--namespace", NAMESPACE)
    slowest, number, end = 0.0, 0, time.monotonic() + ROLLED
    while before & {each["metadata"]["name"] for each in controllers(cluster)}:
        assert time.monotonic() < end
        assert ready(cluster).count("True") >= 2
        began, number = time.monotonic(), number + 1
        looked_after(team, f"meanwhile-{number}")
        slowest = max(slowest, time.monotonic() - began)
    rolled(cluster)
    until(lambda: leader(cluster) not in {"", *before}, "one of the new ones leads")
    assert number >= 1
    assert slowest < 20
    assert restarts(cluster) == {0}


def test_the_network_policy_lets_the_controller_reach_the_api_server_and_nobody_the_controller(team: Team, tools: str):
    """But for kubelet's probes, from the node."""
    cluster = team.cluster
    address = controllers(cluster)[0]["status"]["podIP"]
    sandbox(team, "stranger", tools, "nowhere", {"app": "stranger"})
    said = exec_in(team, "stranger", f"timeout 3 nc -w 2 {address} 8080 </dev/null && echo reached || echo refused")
    assert said.strip() == "refused"


def sandbox(team: Team, name: str, image: str, secret: str, labels: dict[str, str]) -> None:
    volume = {"name": "groyne", "secret": {"secretName": secret, "optional": True}}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": [{"name": "groyne", "mountPath": WHOLE_CONFIGURATION, "readOnly": True}],
    }
    spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container], "volumes": [volume]}
    head = {"name": name, "namespace": team.namespace, "labels": labels}
    team.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": spec})
    team.cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "-n", team.namespace, "--timeout=60s")


def exec_in(team: Team, pod: str, script: str) -> str:
    return team.cluster.kubectl("exec", pod, "-n", team.namespace, "--", "/bin/sh", "-c", script)


def test_a_new_credential_is_in_the_pod_within_seconds_because_kubelet_is_nudged(team: Team, tools: str):
    """Kubelet looks at a Secret again every minute or so, or when its pod changes."""
    labels = {"app": "agent", HASH_LABEL: name_hash("keyed")}
    team.apply(template("keyed"), team.secret("key", apiKey="first-value"), profile("keys", rules=[rule("key", tokenTransformation=TOKEN)]))
    team.wait("secret", "keyed-egress")
    sandbox(team, "keyed-pod", tools, "keyed-egress", labels)
    look = f"cat {WHOLE_CONFIGURATION}/* 2>/dev/null"
    until(lambda: "first-value" in exec_in(team, "keyed-pod", look), "the first value is there")
    took = []
    for value in ("second-value", "third-value", "fourth-value"):
        began = time.monotonic()
        team.apply(team.secret("key", apiKey=value))
        until(lambda value=value: value in exec_in(team, "keyed-pod", look), f"{value} is in the pod")
        took.append(time.monotonic() - began)
    assert max(took) < 15, took
    assert "third-value" not in exec_in(team, "keyed-pod", look)
    notes = team.get("pod", "keyed-pod")["metadata"]["annotations"]
    assert "groyne.dev/egress-revision" in notes
