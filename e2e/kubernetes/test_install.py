"""What the kustomization installs, on a real API server: it applies, twice alike, and the controller's account may do what it must, no more.

The account acts with a token of its own; where a policy has to hold whatever RBAC says, with cluster-admin by impersonation.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pykube
import pytest

from e2e.cluster import ControlPlane
from e2e.support.waiting import until

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2] / "kustomize"
SYSTEM, ACCOUNT, TEAM, BYSTANDER = "groyne-system", "groyne-controller", "team-a", "team-b"
TEMPLATES, POLICIES = "extensions.agents.x-k8s.io/v1beta1", "networking.k8s.io/v1"
HASH, REVISION = "agents.x-k8s.io/sandbox-template-ref-hash", "groyne.dev/egress-revision"
POD = {"containers": [{"name": "main", "image": "none"}]}
MINE = {"app.kubernetes.io/managed-by": "groyne"}
LISTED = {"list", "watch"}

Json = dict[str, Any]


class Caller:
    """One identity. `ask` gives back "" where it was let through, else what the API server said."""

    def __init__(self, api: pykube.HTTPClient, *, like: str = "") -> None:
        self.api = api
        self.headers = {"Impersonate-User": like} if like else {}

    def ask(self, method: str, url: str, body: Json | None = None, *, version: str = "v1", namespace: str = TEAM) -> str:
        patch = "strategic-merge-patch" if version == "v1" else "merge-patch"  # by the name of a container; templates know no such patch
        headers = {**self.headers, "Content-Type": f"application/{patch}+json" if method == "PATCH" else "application/json"}
        data = json.dumps(body) if body is not None else None
        answer = self.api.request(method, version=version, namespace=namespace, url=url, data=data, headers=headers)
        return "" if answer.ok else answer.json()["message"]


@pytest.fixture(scope="module")
def installed(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> ControlPlane:
    """By a pipe on an empty cluster; one namespace opted in, another not; each has what a user may have there."""
    breakable.kubectl("apply", "--filename", "-", input=breakable.kubectl("kustomize", str(ROOT / "overlays" / "default")))
    work = tmp_path_factory.mktemp("team")
    (work / "kustomization.yaml").write_text(
        json.dumps({"namespace": TEAM, "resources": ["namespace.yaml"], "components": [os.path.relpath(ROOT / "namespace", work)]})
    )
    (work / "namespace.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}))
    breakable.kubectl("apply", "--kustomize", str(work))
    breakable.kubectl("create", "namespace", BYSTANDER)
    for namespace in (TEAM, BYSTANDER):
        until(lambda namespace=namespace: "default" in breakable.kubectl("get", "serviceaccounts", "--namespace", namespace, check=False))
        breakable.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": namespace}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod", "namespace": namespace, "labels": {"a": "b"}}, "spec": POD},
            template(namespace),
            {
                "apiVersion": POLICIES,
                "kind": "NetworkPolicy",
                "metadata": {"name": "users", "namespace": namespace},
                "spec": {"podSelector": {}},
            },
            {
                "apiVersion": POLICIES,
                "kind": "NetworkPolicy",
                "metadata": {"name": "x-groyne", "namespace": namespace},
                "spec": {"podSelector": {}},
            },
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "users-egress", "namespace": namespace, "labels": MINE}},
        )
    return breakable


@pytest.fixture(scope="module")
def controller(installed: ControlPlane) -> Caller:
    """Policies take effect within a second or two of their making."""
    caller = Caller(installed.api_as(installed.kubeconfig_for(ACCOUNT, SYSTEM)))
    probes = (
        ("PATCH", "pods/pod", {"metadata": {"labels": {"probe": "1"}}}, "v1"),
        ("PATCH", "secrets/keys", {"metadata": {"labels": {"probe": "1"}}}, "v1"),
        ("PATCH", "sandboxtemplates/t", {"metadata": {"labels": {"probe": "1"}}}, TEMPLATES),
        ("PATCH", "networkpolicies/users", {"metadata": {"labels": {"probe": "1"}}}, POLICIES),
    )
    for method, url, body, version in probes:
        until(lambda: ACCOUNT in caller.ask(method, url, body, version=version))  # noqa: B023 - asked within the turn
    return caller


@pytest.fixture
def owner(installed: ControlPlane) -> Callable[..., Json]:
    uid = installed.get("sandboxtemplate", "t", "--namespace", TEAM)["metadata"]["uid"]

    def made(name: str, **more: object) -> Json:
        reference = {"apiVersion": TEMPLATES, "kind": "SandboxTemplate", "name": "t", "uid": uid, "controller": True, **more}
        return {"name": name, "labels": MINE, "ownerReferences": [reference]}

    return made


def template(namespace: str) -> Json:
    spec = {"podTemplate": {"spec": POD}}
    return {"apiVersion": TEMPLATES, "kind": "SandboxTemplate", "metadata": {"name": "t", "namespace": namespace}, "spec": spec}


def rights(caller: Caller, namespace: str) -> dict[str, set[str]]:
    """Resource → verbs, as the API server's authorizer sees it."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    answer = caller.api.post(
        version="authorization.k8s.io/v1", url="selfsubjectrulesreviews", data=json.dumps(body), headers=caller.headers
    )
    found: dict[str, set[str]] = {}
    for rule in answer.json()["status"]["resourceRules"]:
        names = "".join(f"[{name}]" for name in rule.get("resourceNames") or [])
        for resource in rule["resources"]:
            found.setdefault(f"{resource}{names}", set()).update(rule["verbs"])
    return {resource: verbs for resource, verbs in found.items() if not resource.startswith("self")}


CLUSTER_WIDE = {
    "securityprofiles": LISTED,
    "globalsecurityprofiles": LISTED,
    "securityprofiles/status": {"patch"},
    "globalsecurityprofiles/status": {"patch"},
    "sandboxtemplates": LISTED | {"patch"},
    "networkpolicies": LISTED | {"create", "patch", "delete"},
    "pods": LISTED | {"patch"},
    "nodes": LISTED,
    "namespaces": LISTED,
    "servicecidrs": LISTED,
    "services[kubernetes]": {"get"},
    "events": {"create", "patch"},
}


@pytest.mark.parametrize(
    ("namespace", "more"),
    [
        pytest.param(BYSTANDER, {}, id="a namespace that did not opt in"),
        pytest.param(TEAM, {"secrets": LISTED | {"get", "create", "patch", "delete"}}, id="one that did"),
        pytest.param(SYSTEM, {"leases": {"create"}, "leases[groyne-controller]": {"get", "update"}}, id="its own"),
    ],
)
def test_the_account_has_these_rights_and_no_others(installed, controller, namespace, more):
    nobody = rights(Caller(installed.api, like=f"system:serviceaccount:{BYSTANDER}:default"), namespace)
    assert rights(controller, namespace) == {**nobody, **CLUSTER_WIDE, **more}


def test_secrets_of_a_namespace_that_did_not_opt_in_are_out_of_reach(controller):
    assert "forbidden" in controller.ask("GET", "secrets/keys", namespace=BYSTANDER)
    assert "forbidden" in controller.ask("GET", "secrets", namespace=None)
    assert controller.ask("GET", "secrets/keys", namespace=TEAM) == ""


@pytest.mark.parametrize("overlay", ["default", "dev", "beside-others", "one-namespace"])
def test_an_overlay_applied_twice_changes_nothing_the_second_time(installed, overlay):
    directory = str(ROOT / "overlays" / overlay)
    try:
        installed.kubectl("apply", "--kustomize", directory)
        before = written(installed, directory)
        again = installed.kubectl("apply", "--kustomize", directory).splitlines()
        assert written(installed, directory) == before
        # Of a disruption budget kubectl says so always: it sends the selector each time.
        assert {line.split("/")[0] for line in again if not line.endswith("unchanged")} <= {"poddisruptionbudget.policy"}
    finally:
        installed.kubectl("apply", "--kustomize", str(ROOT / "overlays" / "default"))


def test_it_applies_server_side_too_and_policies_belong_to_no_namespace(installed):
    """kustomize takes them for namespaced objects."""
    directory = str(ROOT / "overlays" / "default")
    installed.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--kustomize", directory)
    found = installed.get("validatingadmissionpolicies,validatingadmissionpolicybindings")["items"]
    assert len([each for each in found if each["metadata"]["name"].startswith(ACCOUNT)]) == 8
    assert not any("namespace" in each["metadata"] for each in found)


def written(cluster: ControlPlane, directory: str) -> dict[str, str]:
    """What changes with a write to an object, and not with its status where it has one."""
    heads = [(each["kind"], each["metadata"]) for each in cluster.get("--kustomize", directory)["items"]]
    return {f"{kind}/{head['name']}": str(head.get("generation", head["resourceVersion"])) for kind, head in heads}


def test_the_deployments_pods_are_admitted_at_the_level_restricted(installed):
    found = installed.get("deployment", ACCOUNT, "--namespace", SYSTEM)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try", "namespace": SYSTEM}, "spec": found["spec"]}
    assert "created" in installed.kubectl("create", "--dry-run=server", "--filename", "-", input=json.dumps(pod))
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert "violates PodSecurity" in installed.kubectl("create", "--dry-run=server", "--filename", "-", input=json.dumps(pod), check=False)


def test_people_with_view_read_profiles_and_people_with_edit_write_them(installed):
    for role in ("view", "edit"):
        installed.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}er", "--namespace", TEAM)
    asked = [(who, verb) for who in ("viewer", "editer") for verb in ("get", "create")]

    def answers() -> list[str]:
        return [
            installed.kubectl("auth", "can-i", verb, "securityprofiles", "--as", who, "--namespace", TEAM, check=False).strip()[:3]
            for who, verb in asked
        ]

    until(lambda: answers() == ["yes", "", "yes", "yes"] or answers() == ["yes", "no", "yes", "yes"])


# What the account may write, one row a refusal.

PODS = [
    pytest.param({"metadata": {"annotations": {REVISION: "1"}}}, "", id="its annotation, added"),
    pytest.param({"metadata": {"annotations": {REVISION: "2"}}}, "", id="changed"),
    pytest.param({"metadata": {"annotations": {REVISION: None}}}, "", id="removed"),
    pytest.param({"metadata": {"annotations": {REVISION: "1", "other": "1"}}}, "annotations", id="another beside it"),
    pytest.param({"metadata": {"annotations": {"kept": None}}}, "annotations", id="another's, removed"),
    pytest.param({"metadata": {"annotations": {"kept": "changed"}}}, "annotations", id="another's, changed"),
    pytest.param({"metadata": {"annotations": {REVISION + "x": "1"}}}, "annotations", id="one of a similar name"),
    pytest.param({"metadata": {"labels": {"a": "c"}}}, "no label", id="a label"),
    pytest.param({"metadata": {"labels": {REVISION: "1"}}}, "no label", id="a label of the annotation's name"),
    pytest.param({"metadata": {"labels": {"a": None}}}, "no label", id="a label, removed"),
    pytest.param({"metadata": {"finalizers": ["x.dev/y"]}}, "no label, finalizer", id="a finalizer"),
    pytest.param(
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]}}, "or owner", id="an owner"
    ),
    pytest.param({"spec": {"containers": [{"name": "main", "image": "other"}]}}, "spec", id="the image"),
    pytest.param({"spec": {"activeDeadlineSeconds": 5}}, "spec", id="the deadline"),
    pytest.param({"spec": {"tolerations": [{"key": "k", "operator": "Exists"}]}}, "spec", id="a toleration"),
]


@pytest.fixture
def pod(installed: ControlPlane) -> None:
    installed.kubectl("annotate", "pod", "pod", "kept=yes", "--overwrite", "--namespace", TEAM)


@pytest.mark.parametrize(("patch", "said"), PODS)
def test_of_a_pod_only_the_annotation_may_change(controller, pod, patch, said):
    check(controller.ask("PATCH", "pods/pod", patch), said)


@pytest.mark.parametrize(("patch", "said"), PODS)
def test_of_a_pod_only_the_annotation_may_change_even_with_every_right(installed, controller, omnipotent, pod, patch, said):
    check(omnipotent.ask("PATCH", "pods/pod", patch), said)


def test_pods_are_neither_made_nor_deleted(omnipotent):
    check(omnipotent.ask("DELETE", "pods/pod"), "neither creates nor deletes pods")
    check(omnipotent.ask("POST", "pods", {"metadata": {"name": "n"}, "spec": POD}), "neither creates nor deletes pods")


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        pytest.param("PATCH", "pods/pod/status", {"status": {"phase": "Failed"}}, id="status"),
        pytest.param("PATCH", "pods/pod/status", {"metadata": {"annotations": {REVISION: "3"}}}, id="its annotation by way of the status"),
        pytest.param(
            "PATCH", "pods/pod/ephemeralcontainers", {"spec": {"ephemeralContainers": [{"name": "e", "image": "e"}]}}, id="a container"
        ),
        pytest.param("PATCH", "pods/pod/resize", {"spec": {"containers": [{"name": "main", "resources": {}}]}}, id="size"),
        pytest.param(
            "POST", "pods/pod/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "pod"}}, id="eviction"
        ),
        pytest.param("POST", "pods/pod/binding", {"metadata": {"name": "pod"}, "target": {"kind": "Node", "name": "n"}}, id="binding"),
        pytest.param("POST", "pods/pod/exec?command=sh", None, id="a command"),
    ],
)
def test_no_subresource_of_a_pod_is_used(omnipotent, method, url, body):
    check(omnipotent.ask(method, url, body), "no subresource of a pod")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        pytest.param({"metadata": {"labels": {HASH: "0badc0de"}}}, "", id="its label"),
        pytest.param({"metadata": {"labels": {HASH: "0badc0de", "other": "1"}}}, "of a template's labels", id="another beside it"),
        pytest.param({"metadata": {"labels": {"probed": "1"}}}, "of a template's labels", id="another"),
        pytest.param({"metadata": {"annotations": {HASH: "0badc0de"}}}, "no annotation", id="an annotation"),
        pytest.param({"metadata": {"finalizers": ["x.dev/y"]}}, "finalizer", id="a finalizer"),
        pytest.param({"spec": {"networkPolicyManagement": "Unmanaged"}}, "spec", id="the spec"),
        pytest.param({"metadata": {"labels": {HASH: "1"}}, "spec": {"networkPolicy": {}}}, "spec", id="the spec beside the label"),
    ],
)
def test_of_a_template_only_the_hash_label_may_change(controller, patch, said):
    check(controller.ask("PATCH", "sandboxtemplates/t", patch, version=TEMPLATES), said)


@pytest.mark.parametrize("name", ["t-egress", "t-ca"])
def test_a_template_s_secrets_are_made_changed_and_deleted(controller, owner, name):
    assert controller.ask("POST", "secrets", {"metadata": owner(name), "type": "Opaque"}) == ""
    assert controller.ask("PATCH", f"secrets/{name}", {"stringData": {"a": "b"}}) == ""
    check(controller.ask("PATCH", f"secrets/{name}", {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}}), "with the label")
    check(controller.ask("PATCH", f"secrets/{name}", {"metadata": {"ownerReferences": None}}), "template that controls it")
    assert controller.ask("DELETE", f"secrets/{name}") == ""


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        pytest.param("keys2", {}, "ends in -egress", id="another name"),
        pytest.param("u-egress", {}, "template that controls it", id="another template's"),
        pytest.param("u-ca", {}, "template that controls it", id="another template's CA"),
        pytest.param("t-egress", {"labels": {}}, "with the label", id="no label"),
        pytest.param("t-egress", {"ownerReferences": []}, "template that controls it", id="no owner"),
    ],
)
def test_no_other_secret_is_made(controller, owner, name, change, said):
    check(controller.ask("POST", "secrets", {"metadata": {**owner(name), **change}}), said)


@pytest.mark.parametrize("change", [{"kind": "Pod"}, {"apiVersion": "v1"}, {"controller": False}])
def test_a_secret_is_owned_by_a_template_as_its_controller(controller, owner, change):
    check(controller.ask("POST", "secrets", {"metadata": owner("t-egress", **change)}), "template that controls it")


@pytest.mark.parametrize("name", ["groyne-ext-proc-ca", "groyne-ext-proc-tls"])
def test_ext_procs_secrets_have_no_owner(omnipotent, owner, name):
    """What is called so and has one is a template's."""
    assert omnipotent.ask("POST", "secrets", {"metadata": {"name": name, "labels": MINE}}, namespace=SYSTEM) == ""
    check(omnipotent.ask("PATCH", f"secrets/{name}", {"metadata": owner(name)}, namespace=SYSTEM), ACCOUNT)
    check(omnipotent.ask("POST", "secrets", {"metadata": {**owner(name), "name": name}}, namespace=TEAM), ACCOUNT)


def test_no_token_of_a_service_account_is_had_through_a_secret(controller, owner):
    head = {**owner("t-egress"), "annotations": {"kubernetes.io/service-account.name": "default"}}
    check(controller.ask("POST", "secrets", {"metadata": head, "type": "kubernetes.io/service-account-token"}), "Opaque Secrets alone")


@pytest.mark.parametrize("name", ["keys", "users-egress"])
def test_users_secrets_are_neither_changed_nor_deleted(controller, owner, name):
    adopted = {"metadata": {key: value for key, value in owner(name).items() if key != "name"}, "stringData": {"a": "b"}}
    check(controller.ask("PATCH", f"secrets/{name}", adopted), ACCOUNT)
    check(controller.ask("DELETE", f"secrets/{name}"), ACCOUNT)


@pytest.mark.parametrize("name", ["t-network-policy", "t-groyne"])
def test_a_templates_policies_are_made_changed_and_deleted(controller, owner, name):
    body = {"metadata": owner(name), "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    assert controller.ask("POST", "networkpolicies", body, version=POLICIES) == ""
    assert controller.ask("PATCH", f"networkpolicies/{name}", {"spec": {"policyTypes": ["Ingress"]}}, version=POLICIES) == ""
    check(controller.ask("PATCH", f"networkpolicies/{name}", {"metadata": {"ownerReferences": None}}, version=POLICIES), "controls them")
    assert controller.ask("DELETE", f"networkpolicies/{name}", version=POLICIES) == ""


@pytest.mark.parametrize("name", ["users", "x-groyne"])
def test_users_policies_are_neither_changed_nor_deleted(controller, owner, name):
    adopted = {"metadata": {key: value for key, value in owner(name).items() if key != "name"}}
    check(controller.ask("PATCH", f"networkpolicies/{name}", adopted, version=POLICIES), ACCOUNT)
    check(controller.ask("DELETE", f"networkpolicies/{name}", version=POLICIES), ACCOUNT)


def test_no_policy_of_another_name_is_made(controller, owner):
    body = {"metadata": owner("other"), "spec": {"podSelector": {}}}
    check(controller.ask("POST", "networkpolicies", body, version=POLICIES), "-network-policy or -groyne alone")


@pytest.fixture(scope="module")
def omnipotent(installed: ControlPlane) -> Iterator[Caller]:
    """The account with every right there is: what still holds holds by policy."""
    yield from bound(installed, f"system:serviceaccount:{SYSTEM}:{ACCOUNT}")


def bound(cluster: ControlPlane, user: str) -> Iterator[Caller]:
    name = f"try.{user.replace(':', '.')}"
    cluster.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", f"--user={user}")
    until(lambda: "yes" in cluster.kubectl("auth", "can-i", "*", "*", "--as", user, check=False))
    yield Caller(cluster.api, like=user)
    cluster.kubectl("delete", "clusterrolebinding", name)


@pytest.mark.parametrize(
    ("user", "held"),
    [
        pytest.param("system:serviceaccount:elsewhere:groyne-controller", True, id="another namespace"),
        pytest.param("system:serviceaccount:elsewhere:blue-groyne-controller", True, id="a prefix of kustomize's"),
        pytest.param("system:serviceaccount:elsewhere:groyne-controller-two", True, id="a suffix"),
        pytest.param("system:serviceaccount:groyne-controller:default", False, id="another account, in a namespace of that name"),
        pytest.param("system:serviceaccount:groyne-system:default", False, id="another account beside it"),
        pytest.param("groyne-controller", False, id="a person of that name"),
    ],
)
def test_the_policies_hold_the_account_wherever_it_is_and_nobody_else(installed, controller, user, held):
    for caller in bound(installed, user):
        for url, version in (
            ("pods/pod", "v1"),
            ("secrets/keys", "v1"),
            ("networkpolicies/users", POLICIES),
            ("sandboxtemplates/t", TEMPLATES),
        ):
            said = caller.ask("PATCH", url, {"metadata": {"labels": {"who": "me"}}}, version=version)
            assert bool(said) == held, f"{url}: {said}"
            caller.ask("PATCH", url, {"metadata": {"labels": {"who": None}}}, version=version)


def check(answer: str, said: str) -> None:
    """`said` "": let through. Else refused, and by the policy."""
    if said:
        assert "forbidden" in answer
        assert said in answer
    else:
        assert answer == ""
