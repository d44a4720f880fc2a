"""`kubectl apply -k kustomize/overlays/with-ext-proc`, and nothing else: two replicas of each are ready, and a template's certificate is accepted."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from controller.compile.workload_secrets import AUTHORITY, SERVER
from e2e.cluster import Cluster
from e2e.kubernetes.controller_process import NAMESPACE, ROOT, established
from e2e.kubernetes.team import Team, data
from e2e.kubernetes.test_ext_proc import ASK
from e2e.support.waiting import until
from unit_tests.controller.raw_objects import profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
NAMES = ("groyne-controller", "groyne-ext-proc")
TEAM, HOST = "with-ext-proc", "refused.example"
ROLLED = 150


@pytest.fixture(scope="module")
def installed(pods: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """By an overlay of a user's own that names the image."""
    directory = tmp_path_factory.mktemp("overlay")
    name, _, tag = image.rpartition(":")
    base = "../" * (len(directory.parts) - 1) + str((ROOT / "kustomize" / "overlays" / "with-ext-proc").relative_to("/"))
    images = [{"name": "groyne", "newName": name, "newTag": tag}]
    content = {"resources": [base], "images": images, "patches": in_place_of_dns(pods)}
    (directory / "kustomization.yaml").write_text(json.dumps(content))
    pods.kubectl("delete", "service", "groyne-ext-proc", "-n", NAMESPACE, "--ignore-not-found")
    pods.kubectl("delete", "secret", AUTHORITY, SERVER, "-n", NAMESPACE, "--ignore-not-found")
    pods.kubectl("apply", "--server-side", "--force-conflicts", "--kustomize", str(directory))
    established(pods)
    yield pods
    pods.kubectl("delete", "deployment,service,networkpolicy,poddisruptionbudget", "groyne-ext-proc", "-n", NAMESPACE, "--wait=false")
    pods.kubectl("scale", "deployment/groyne-controller", "--replicas=0", "-n", NAMESPACE)
    pods.kubectl("delete", "secret", AUTHORITY, SERVER, "-n", NAMESPACE, "--ignore-not-found")


def in_place_of_dns(cluster: Cluster) -> list[dict[str, Any]]:
    """A cluster of tests may have none: the Service's name is in the controller's own hosts file."""
    address = cluster.get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"].rpartition(".")[0] + ".77"
    alias = [{"op": "add", "path": "/spec/template/spec/hostAliases", "value": [{"ip": address, "hostnames": ["groyne-ext-proc"]}]}]
    fixed = [{"op": "add", "path": "/spec/clusterIP", "value": address}]
    return [
        {"target": {"kind": "Deployment", "name": "groyne-controller"}, "patch": json.dumps(alias)},
        {"target": {"kind": "Service", "name": "groyne-ext-proc"}, "patch": json.dumps(fixed)},
    ]


def said(cluster: Cluster) -> str:
    log = [cluster.kubectl("logs", f"deployment/{name}", "-n", NAMESPACE, "--tail=20", check=False) for name in NAMES]
    return "\n".join([*log, cluster.kubectl("describe", "pods", "-n", NAMESPACE, check=False)[-6000:]])


@pytest.fixture(scope="module")
def rolled(installed: Cluster) -> Cluster:
    for name in NAMES:
        told = installed.kubectl("rollout", "status", f"deployment/{name}", "-n", NAMESPACE, f"--timeout={ROLLED}s", check=False)
        assert "successfully rolled out" in told, said(installed)
    return installed


@pytest.fixture(scope="module")
def team(rolled: Cluster) -> Iterator[Team]:
    found = Team(rolled, TEAM)
    rolled.kubectl("create", "namespace", TEAM)
    found.opt_in()
    hook = {"name": "log", "webhook": {"url": "https://audit.example/"}}
    found.apply(template("python"), profile("audited", rules=[rule("never", HOST, audit=[hook], block={"statusCode": 418})]))
    yield found
    rolled.kubectl("delete", "namespace", TEAM, "--wait=false")


def test_ext_proc_waits_for_its_certificate_and_then_is_ready(rolled: Cluster):
    """Nobody had to start anything twice."""
    chosen = rolled.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=ext-proc")["items"]
    assert len(chosen) == 2
    assert {each["restartCount"] for pod in chosen for each in pod["status"]["containerStatuses"]} == {0}


def test_a_templates_certificate_is_accepted(team: Team, image: str):
    """Asked from a pod, with what stands in the template's Secret."""
    held = data(team.wait("secret", "python-egress", lambda found: "external-client.crt" in found["data"]))
    shown = {"mine.crt": held["external-client.crt"], "mine.key": held["external-client.key"], "mine.ca": held["external-ca.crt"]}
    team.cluster.apply(secret("certificates", shown), asking_pod(image))
    team.cluster.kubectl("wait", "--for=condition=Ready", "pod/asking", "-n", TEAM, "--timeout=90s")
    spec = team.cluster.get("service", "groyne-ext-proc", "-n", NAMESPACE)["spec"]
    name = f"groyne-ext-proc.{NAMESPACE}.svc"
    # The name that the server's certificate has beside its id.
    ask = ASK.replace('"localhost"', f'"{name}"')
    address = f"{spec['clusterIP']}:9002"

    def asked() -> Any:
        return json.loads(team.cluster.kubectl("exec", "asking", "-n", TEAM, "--", "python3", "-c", ask, address, HOST, "mine"))

    until(lambda: asked().get("status") == 418, lambda: f"a decision: {asked()}", 60)


def secret(name: str, files: dict[str, str]) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": TEAM}, "data": encoded}


def asking_pod(image: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import time; time.sleep(100000)"],
        "volumeMounts": [{"name": "certificates", "mountPath": "/certificates"}],
    }
    spec = {"containers": [container], "volumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asking", "namespace": TEAM}, "spec": spec}
