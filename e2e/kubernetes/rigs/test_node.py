"""The machine's own node: pods run, talk and are kept from talking, and nothing of it outlives the test run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import Node
from e2e.cluster.binaries import go
from e2e.cluster.images import TOOLS
from e2e.cluster.node import network, node
from e2e.kubernetes.lacks import or_skip
from e2e.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[3]
STARTS_ONE = """
from e2e.cluster.node import node
with node() as cluster:
    cluster.kubectl("run", "one", "--image=localhost/tools:e2e")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/one", "--timeout=60s")
    print(cluster.directory, flush=True)
    input()
"""
SERVE = """
import socket, sys, threading
def serve(family, address):
    server = socket.create_server((address, 8080), family=family)
    while True:
        server.accept()[0].sendall(b"hello")
for address in sys.argv[1:]:
    threading.Thread(target=serve, args=(socket.AF_INET6 if ":" in address else socket.AF_INET, address)).start()
print("ready", flush=True)
"""
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def reached(address):
    try:
        with socket.create_connection((address, 8080), timeout=1.5) as made:
            return made.recv(5) == b"hello"
    except OSError:
        return False
with ThreadPoolExecutor(len(sys.argv)) as pool:
    print(json.dumps([each for each, answered in zip(sys.argv[1:], pool.map(reached, sys.argv[1:])) if answered]))
"""
OUTSIDE = (network.PUBLIC4, network.PUBLIC6, network.METADATA, network.PRIVATE)


@pytest.fixture(scope="module")
def own():
    with or_skip(), node() as made:
        yield made


@pytest.fixture(scope="module")
def world(own: Node):
    """Something answers at every address outside."""
    server = own.outside("python3", "-c", SERVE, *OUTSIDE)
    assert server.stdout.readline() == "ready\n"
    yield
    server.kill()


@pytest.fixture(scope="module")
def agent(own: Node) -> None:
    run(own, "agent")


@pytest.fixture(scope="module")
def server(own: Node) -> list[str]:
    """Another pod's addresses and its Service's, of both families."""
    run(own, "server", "--port=8080", "--command", "--", "python3", "-c", SERVE, "0.0.0.0", "::")
    spec = {"selector": {"run": "server"}, "ports": [{"port": 8080}], "ipFamilyPolicy": "RequireDualStack"}
    own.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "server", "namespace": "default"}, "spec": spec})
    status = own.get("pod", "server")["status"]
    return [each["ip"] for each in status["podIPs"]] + own.get("service", "server")["spec"]["clusterIPs"]


def run(cluster, name: str, *more: str) -> None:
    cluster.kubectl("run", name, f"--image={TOOLS}", "--image-pull-policy=Never", *more)
    cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def reached(own: Node, *addresses: str) -> set[str]:
    return set(json.loads(own.kubectl("exec", "agent", "--", "python3", "-c", TRY, *addresses)))


def restrict(own: Node, *egress: dict) -> None:
    """What the agent may reach, from now on."""
    spec = {"podSelector": {"matchLabels": {"run": "agent"}}, "policyTypes": ["Egress"], "egress": list(egress)}
    own.apply(
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "agent", "namespace": "default"}, "spec": spec}
    )


def test_a_pod_reaches_pods_services_and_the_world_of_both_families(own, world, agent, server):
    until(lambda: reached(own, *server, *OUTSIDE) == {*server, *OUTSIDE})


def test_a_policy_keeps_its_packets_in(own, world, agent, server):
    everything = {*server, *OUTSIDE}
    until(lambda: reached(own, *everything) == everything)
    restrict(own)
    until(lambda: reached(own, *everything) == set())
    private = ["10.0.0.0/8", "10.244.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"]
    restrict(own, {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": private}}, {"ipBlock": {"cidr": "::/0", "except": ["fc00::/7"]}}]})
    until(lambda: reached(own, *everything) == {network.PUBLIC4, network.PUBLIC6})
    restrict(own, {"to": [{"podSelector": {"matchLabels": {"run": "server"}}}], "ports": [{"port": 8080}]})
    until(lambda: reached(own, *everything) == set(server))
    own.kubectl("delete", "networkpolicy", "agent")
    until(lambda: reached(own, *everything) == everything)


def test_a_pod_asks_the_api_as_its_own_account(own, agent):
    asks = """
import ssl, urllib.request, urllib.error
place = "/var/run/secrets/kubernetes.io/serviceaccount/"
request = urllib.request.Request("https://10.96.0.1/api/v1/pods", headers={"Authorization": "Bearer " + open(place + "token").read()})
try:
    urllib.request.urlopen(request, context=ssl.create_default_context(cafile=place + "ca.crt"))
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""
    assert 'User \\"system:serviceaccount:default:default\\" cannot list' in own.kubectl("exec", "agent", "--", "python3", "-c", asks)


def test_the_controllers_image_runs_as_nobody_in_particular(pods, image):
    """On a read-only root, with no rights: it says what it is, and finds all that it imports."""
    security = {"runAsNonRoot": True, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "args": ["--version"], "securityContext": security}
    metadata = {"name": "controllers-image", "namespace": "default"}
    spec = {"restartPolicy": "Never", "containers": [container]}
    pods.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        until(lambda: pods.get("pod", "controllers-image")["status"]["phase"] in ("Succeeded", "Failed"), patience=60)
        assert pods.kubectl("logs", "controllers-image").startswith("groyne ")
        assert pods.get("pod", "controllers-image")["status"]["phase"] == "Succeeded"
    finally:
        pods.kubectl("delete", "pod", "controllers-image", "--wait=false")


def test_kubelet_comes_back_with_its_pods(own, agent):
    before = own.get("pod", "agent")["status"]["containerStatuses"][0]
    own.restart("kubelet")
    run(own, "after")
    assert own.get("pod", "agent")["status"]["containerStatuses"][0] == before


def test_a_killed_test_run_leaves_nothing(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a node needs root")
    before = links()
    run = subprocess.Popen([sys.executable, "-c", STARTS_ONE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    directory = run.stdout.readline().strip()
    assert directory
    assert processes_of(directory)
    assert len(links() - before) == 1
    run.kill()
    run.wait()
    until(lambda: not processes_of(directory))
    until(lambda: links() == before)
    assert directory not in Path("/proc/mounts").read_text()


def links() -> set[str]:
    return {each.name for each in Path("/sys/class/net").iterdir() if each.name.startswith("groyne")}


def processes_of(directory: str) -> list[str]:
    """Whatever names the node's directory, or has it as its root: components, shims, containers."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode()
            inside = directory in os.readlink(process / "root") or directory in (process / "mountinfo").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        found += [command] if process.name.isdigit() and (directory in command or inside) else []
    return found


def test_the_enforcers_reading_of_policies():
    """Its own tests, in Go."""
    done = go("test", "-trimpath", "-vet=off", "./cmd/netpol")
    assert done.returncode == 0, done.stdout + done.stderr
