"""ext-proc as the kustomization installs it, on a node: reached by mutual TLS from a pod under its template's network policies, and by nobody else.

The policies are the controller's own text, applied as it would. Where the node enforces none, what must not get through is not asked.
"""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.compile.groyne_policy import Endpoint, groyne_policy
from controller.compile.network_policy import network_policy
from crds.kinds import parse
from e2e.cluster import Cluster, Node
from e2e.kubernetes.controller_process import established
from e2e.support.waiting import until
from policy.compile import compile_program
from policy.program import Engine
from policy.template_hashes import HASH_LABEL, name_hash
from policy.template_identity import template_identity
from unit_tests.mtls.pki import Made, authority, leaf, pem

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2] / "kustomize"
SYSTEM, NAME = "groyne-system", "groyne-ext-proc"
SERVER = f"spiffe://cluster.local/ns/{SYSTEM}/sa/{NAME}"
TEMPLATE, TEAM = "coder", "ext-proc-team"
MINE = f"spiffe://cluster.local/ns/{TEAM}/template/{TEMPLATE}"
ASK = """
import json, sys
import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb, external_processor_pb2_grpc as stubs

address, host, name = sys.argv[1:4]
read = lambda file: open(f"/certificates/{name}.{file}", "rb").read()
credentials = grpc.ssl_channel_credentials(read("ca"), read("key"), read("crt"))
lines = {":method": "GET", ":scheme": "https", ":path": "/", ":authority": host}
headers = base_pb2.HeaderMap(headers=[base_pb2.HeaderValue(key=key, raw_value=value.encode()) for key, value in lines.items()])
first = pb.ProcessingRequest(request_headers=pb.HttpHeaders(headers=headers, end_of_stream=True))
options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.enable_http_proxy", 0)]
with grpc.secure_channel(address, credentials, options=options) as channel:
    try:
        answer = next(stubs.ExternalProcessorStub(channel).Process(iter([first]), timeout=5))
        kind = answer.WhichOneof("response")
        body = answer.immediate_response.body.decode()
        put = {each.header.key: each.header.raw_value.decode() for each in answer.request_headers.response.header_mutation.set_headers}
        print(json.dumps({"kind": kind, "status": answer.immediate_response.status.code, "body": body, "put": put}))
    except grpc.RpcError as error:
        print(json.dumps({"error": error.code().name, "details": error.details()}))
"""

Json = dict[str, Any]
AUTHORITY, STRANGER = authority(), authority("stranger")


def template() -> Json:
    spec = {"podTemplate": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}}}
    return {"apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxTemplate", "metadata": meta(TEMPLATE), "spec": spec}


def profile() -> Json:
    never = {"name": "never", "match": [{"domains": ["refused.example"]}], "actions": {"block": {"statusCode": 418}}}
    token = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    keyed = {"name": "keyed", "match": [{"domains": ["keyed.example"]}], "actions": {"tokenTransformation": token}}
    hook = {"name": "log", "webhook": {"url": "https://audit.example/"}}
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "rules": [never, keyed], "audit": [hook]}
    return {"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SecurityProfile", "metadata": meta("audited"), "spec": spec}


def meta(name: str, namespace: str = TEAM) -> Json:
    return {"name": name, "namespace": namespace}


def secret(name: str, namespace: str, data: dict[str, bytes]) -> Json:
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta(name, namespace), "data": encoded}


def files(made: Made, above: Made = AUTHORITY) -> dict[str, bytes]:
    return {"tls.crt": made.certificate_pem, "tls.key": made.key_pem, "ca.crt": pem(above.certificate)}


@pytest.fixture(scope="module")
def installed(pods: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """By kustomize, with a certificate of ours where cert-manager's would be."""
    overlay = tmp_path_factory.mktemp("overlay")
    name, _, tag = image.rpartition(":")
    wanted = ("components/profile-crds", "components/template-crds", "components/ext-proc")
    content = {
        "namespace": SYSTEM,
        "components": [os.path.relpath(ROOT / each, overlay.resolve()) for each in wanted],
        "images": [{"name": "groyne", "newName": name, "newTag": tag}],
    }
    (overlay / "kustomization.yaml").write_text(json.dumps(content))
    for each in (SYSTEM, TEAM):
        pods.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each, "labels": restricted()}})
    pods.apply(secret(f"{NAME}-tls", SYSTEM, files(leaf(AUTHORITY, SERVER))))
    pods.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
    established(pods)
    pods.apply(template(), profile())
    until(lambda: ready(pods) == 2, lambda: f"two replicas are ready\n{said(pods)}", 60)
    yield pods
    logged = pods.kubectl("logs", "-n", SYSTEM, "-l", "app.kubernetes.io/component=ext-proc", "--tail=-1")
    assert not [line for line in logged.splitlines() if "Forbidden" in line or "Traceback" in line]
    assert not any(value in logged for value in ("first-value", "second-value", "PRIVATE"))
    pods.kubectl("delete", "namespace", TEAM, "--wait=false")
    pods.kubectl("delete", "deployment,service,networkpolicy,poddisruptionbudget", NAME, "-n", SYSTEM, "--wait=false")


def ready(cluster: Cluster) -> int:
    found: int = cluster.get("deployment", NAME, "-n", SYSTEM)["status"].get("readyReplicas", 0)
    return found


def said(cluster: Cluster) -> str:
    chosen = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=ext-proc")
    return cluster.kubectl("describe", "pods", *chosen, check=False) + cluster.kubectl("logs", *chosen, "--tail=40", check=False)


def restricted() -> dict[str, str]:
    return {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def agent(installed: Cluster, image: str) -> Cluster:
    """A pod of the template's, with certificates of the template, of another one, and of nobody known."""
    shown = {
        "mine": leaf(AUTHORITY, MINE),
        "other": leaf(AUTHORITY, f"spiffe://cluster.local/ns/{TEAM}/sa/default"),
        "unknown": leaf(AUTHORITY, f"spiffe://cluster.local/ns/{TEAM}/template/nobodys"),
        "forged": leaf(STRANGER, MINE),
    }
    data = {f"{name}.{suffix}": content for name, made in shown.items() for suffix, content in pairs(made)}
    installed.apply(secret("certificates", TEAM, data))
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import time; time.sleep(100000)"],
        "securityContext": security,
        "volumeMounts": [{"name": "certificates", "mountPath": "/certificates"}],
    }
    spec = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
    }
    metadata = {**meta("agent"), "labels": {HASH_LABEL: name_hash(TEMPLATE), "app": "agent"}}
    installed.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    installed.kubectl("wait", "--for=condition=Ready", "pod/agent", "-n", TEAM, "--timeout=60s")
    return installed


def pairs(made: Made) -> tuple[tuple[str, bytes], ...]:
    return ("crt", made.certificate_pem), ("key", made.key_pem), ("ca", pem(AUTHORITY.certificate))


@pytest.fixture(scope="module")
def address(installed: Cluster) -> str:
    spec = installed.get("service", NAME, "-n", SYSTEM)["spec"]
    return f"{spec['clusterIP']}:{spec['ports'][0]['port']}"


def asked(cluster: Cluster, address: str, host: str = "refused.example", name: str = "mine") -> Json:
    found: Json = json.loads(cluster.kubectl("exec", "agent", "-n", TEAM, "--", "python3", "-c", ASK, address, host, name))
    return found


def policies() -> list[Json]:
    """The template's own, and the one that its program needs."""
    made, ruled = (parse(each).object for each in (template(), profile()))
    program = compile_program([ruled], engines=frozenset(Engine)).program
    own = network_policy(made).manifest
    added = groyne_policy(made, program.select(template_identity(made)), Endpoint(namespace=SYSTEM)).manifest
    assert own
    assert added
    for each in (own, added):
        each["metadata"].pop("ownerReferences", None)
    return [own, added]


def test_its_replicas_run_as_nobody_in_particular_and_are_ready(installed: Cluster):
    """In a namespace that admits restricted pods alone."""
    assert ready(installed) == 2


def test_a_pod_under_its_templates_policies_reaches_it_and_is_known_by_its_certificate(agent: Cluster, address: str):
    own, added = policies()
    agent.apply(own)
    if isinstance(agent, Node):
        until(lambda: asked(agent, address).get("error") in {"UNAVAILABLE", "DEADLINE_EXCEEDED"}, "the default policy keeps the pod in")
    agent.apply(added)
    until(lambda: asked(agent, address).get("status") == 418, lambda: f"a decision: {asked(agent, address)}")
    assert asked(agent, address, "other.example") == {"kind": "request_headers", "status": 0, "body": "", "put": {}}


def test_nobody_else_is_answered(agent: Cluster, address: str):
    for each in policies():
        agent.apply(each)
    until(lambda: asked(agent, address).get("status") == 418, "the way is open")
    assert asked(agent, address, name="forged")["error"] == "UNAVAILABLE"
    assert asked(agent, address, name="other")["error"] in {"PERMISSION_DENIED", "UNAUTHENTICATED"}
    unknown = asked(agent, address, name="unknown")
    assert unknown["status"] == 403
    assert "IdentityUnknown" in unknown["body"]


def test_a_credential_is_read_where_the_namespace_has_opted_in_and_followed(agent: Cluster, address: str):
    for each in policies():
        agent.apply(each)
    agent.apply(secret("key", TEAM, {"apiKey": b"first-value"}))
    until(lambda: asked(agent, address).get("status") == 418, "the way is open")
    assert asked(agent, address, "keyed.example")["status"] == 503
    subject = f"--serviceaccount={SYSTEM}:{NAME}"
    agent.kubectl("create", "rolebinding", NAME, "--clusterrole=groyne-ext-proc-namespace", subject, "-n", TEAM)
    agent.kubectl("label", "namespace", TEAM, "groyne.dev/secrets=managed")

    def put() -> str:
        """By each replica, as connections happen to be made."""
        return " ".join(
            sorted({text for _ in range(4) for text in asked(agent, address, "keyed.example").get("put", {"": "none"}).values()})
        )

    until(lambda: put() == "Bearer first-value", put)
    agent.apply(secret("key", TEAM, {"apiKey": b"second-value"}))
    until(lambda: put() == "Bearer second-value", put)


def test_a_new_certificate_is_shown_without_a_restart(agent: Cluster, address: str):
    """The Secret's volume is exchanged by the kubelet; both replicas go on."""
    for each in policies():
        agent.apply(each)
    new = authority("new")
    data = {f"mine.{suffix}": content for suffix, content in pairs(leaf(new, MINE))} | {"mine.ca": pem(new.certificate)}
    before = [each["metadata"]["name"] for each in agent.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=ext-proc")["items"]]
    agent.apply(secret(f"{NAME}-tls", SYSTEM, files(leaf(new, SERVER), new)), secret("certificates", TEAM, data))
    for name in before:
        agent.kubectl("annotate", "pod", name, "-n", SYSTEM, "now=look")
    agent.kubectl("annotate", "pod", "agent", "-n", TEAM, "now=look")
    until(lambda: asked(agent, address).get("status") == 418, lambda: f"a decision: {asked(agent, address)}", 150)
    after = agent.get("pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=ext-proc")["items"]
    assert [each["metadata"]["name"] for each in after] == before
    assert all(each["status"]["containerStatuses"][0]["restartCount"] == 0 for each in after)
