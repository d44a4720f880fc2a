"""ext-proc and the components beside it hold together, and are as closed as they can be."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from controller.compile.groyne_policy import Endpoint
from controller.compile.workload_secrets import AUTHORITY, SERVER, SERVER_AUTHORITIES, SERVER_PAIR, template_id
from controller.settings import Settings as ControllerSettings
from daemon.settings import variable
from extproc.settings import Settings
from mtls.identity import Purpose
from mtls.spiffe import Pattern, Peers, SpiffeId
from unit_tests.kustomize.rendered import REPOSITORY, ROOT, Json, Objects, composed, overlay, render, rules

NAME = "groyne-ext-proc"
EXT_PROC = ("components/all-namespaces", "components/ext-proc")
CERT_MANAGER = (*EXT_PROC, "components/ext-proc-cert-manager")
ONE = ("components/one-namespace", "components/ext-proc", "components/ext-proc-one-namespace")
LIST = frozenset({"list", "watch"})
KRUISE = "agents.kruise.io"
CLUSTER = {(KRUISE, "globalsecurityprofiles", LIST, ())}
NAMESPACED = {(KRUISE, "securityprofiles", LIST, ()), ("extensions.agents.x-k8s.io", "sandboxtemplates", LIST, ())}
NAMESPACES, PODS = ("", "namespaces", LIST, ()), ("", "pods", LIST, ())
CERTIFICATES = {("", "secrets", frozenset({"create"}), ()), ("", "secrets", frozenset({"get", "patch"}), (AUTHORITY, SERVER))}
OPTED_IN = {("", "secrets", LIST | {"get"}, ()), ("", "configmaps", frozenset({"get"}), ())}


def pod(objects: Objects) -> Json:
    return objects.one("Deployment", NAME)["spec"]["template"]["spec"]


def container(objects: Objects) -> Json:
    (found,) = pod(objects)["containers"]
    return found


def bound(objects: Objects, kind: str) -> set[tuple[Any, ...]]:
    bindings = [each for each in objects.of(kind) if each["subjects"][0]["name"] == NAME]
    return set(rules(objects.one(each["roleRef"]["kind"], each["roleRef"]["name"]) for each in bindings))


def settings(objects: Objects) -> Settings:
    """What the process reads, and would refuse at its start."""
    known = {variable(field): field for field in Settings.model_fields}
    (config,) = [each for each in objects.of("ConfigMap") if each["metadata"]["name"].startswith(f"{NAME}-settings")]
    assert container(objects)["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    values = {known[key]: value for key, value in config["data"].items()}
    values |= {known[each["name"]]: each["value"] for each in container(objects)["env"] if "value" in each}
    return Settings(**values)


def controllers(objects: Objects) -> ControllerSettings:
    """What the controller beside it reads."""
    known = {variable(field): field for field in ControllerSettings.model_fields}
    given = {known[each["name"]]: each["value"] for each in objects.container["env"] if "value" in each}
    return ControllerSettings(**given, pod_namespace=objects.one("Deployment", NAME)["metadata"]["namespace"])


@pytest.fixture(scope="module")
def whole() -> Objects:
    return overlay("with-ext-proc")


@pytest.fixture
def alone(tmp_path) -> Objects:
    return composed(tmp_path, *EXT_PROC)


@pytest.fixture
def helped(tmp_path) -> Objects:
    return composed(tmp_path, *EXT_PROC, "components/spiffe-helper")


def test_the_overlay_is_the_default_one_and_ext_proc(whole):
    assert overlay("default").names <= whole.names
    for each in whole:
        assert each["metadata"].get("namespace", "groyne-system") == "groyne-system"
    (image,) = {
        container(whole)["image"],
        *(each["image"] for each in whole.one("Deployment", "groyne-controller")["spec"]["template"]["spec"]["containers"]),
    }
    assert image == overlay("default").container["image"]


def test_every_setting_is_one_and_they_fit_together(whole):
    found = settings(whole)
    assert found.tls_cert is not None
    assert found.tls_clients


def test_the_controller_knows_where_it_is_and_signs_for_it(whole):
    """Its Service by name, its Secret as it is mounted, and its callers by ids that it lets speak."""
    told = controllers(whole)
    (port,) = whole.one("Service", NAME)["spec"]["ports"]
    assert told.ext_proc_address == f"{NAME}:{port['port']}"
    assert told.issues
    assert SpiffeId.parse(told.ext_proc_identity).path == ("ns", "groyne-system", "sa", pod(whole)["serviceAccountName"])
    (volume,) = pod(whole)["volumes"]
    assert volume["secret"]["secretName"] == SERVER
    assert {settings(whole).tls_cert.name, settings(whole).tls_key.name, settings(whole).tls_ca.name} == {
        f"{SERVER_PAIR}.crt",
        f"{SERVER_PAIR}.key",
        SERVER_AUTHORITIES,
    }
    client = SpiffeId.parse(template_id(told.trust_domain, "team-a", "agent"))
    assert Peers.of(*settings(whole).tls_clients).allow(client)


def test_the_controller_may_touch_two_secrets_of_its_own_namespace(whole):
    role = whole.one("Role", "groyne-controller-ext-proc")
    assert set(rules([role])) == CERTIFICATES
    assert role["metadata"]["namespace"] == "groyne-system"
    (binding,) = [each for each in whole.of("RoleBinding", "ClusterRoleBinding") if each["roleRef"]["name"] == role["metadata"]["name"]]
    assert (binding["kind"], binding["subjects"][0]["name"], binding["metadata"]["namespace"]) == (
        "RoleBinding",
        "groyne-controller",
        "groyne-system",
    )


@pytest.mark.parametrize("component", ["ext-proc-files", "ext-proc-cert-manager", "spiffe-helper"])
def test_where_others_sign_the_controller_reads_files_and_has_no_right_to_the_secrets(tmp_path, component):
    objects = composed(tmp_path, *EXT_PROC, f"components/{component}")
    told = controllers(objects)
    assert not told.issues
    assert SpiffeId.parse(told.ext_proc_identity).path[-1] == NAME
    assert not [name for name in objects.names if "groyne-controller-ext-proc" in name]


def test_a_sidecar_is_known_by_its_certificate_alone_and_any_templates_may_ask(whole):
    found = settings(whole)
    assert [str(each) for each in found.identity] == ["certificate"]
    assert Peers.of(*found.tls_clients).allow(SpiffeId.parse("spiffe://cluster.local/ns/team-a/template/agent"))
    assert not Peers.of(*found.tls_clients).allow(SpiffeId.parse("spiffe://cluster.local/ns/team-a/sa/agent"))


@pytest.mark.parametrize("components", [EXT_PROC, CERT_MANAGER, (*EXT_PROC, "components/spiffe-helper"), ONE], ids=lambda each: each[-1])
def test_pods_are_restricted(tmp_path, components):
    """Pod Security's level restricted, and what it does not ask for."""
    spec = pod(composed(tmp_path, *components))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in (*spec["containers"], *spec.get("initContainers", ())):
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["readOnlyRootFilesystem"] is True
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert {kind for each in spec["volumes"] for kind in each} <= {"name", "secret", "emptyDir", "configMap", "csi"}


def test_what_selects_pods_selects_these_and_not_the_controllers(whole):
    deployment = whole.one("Deployment", NAME)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    others = whole.one("Deployment", "groyne-controller")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        whole.one("PodDisruptionBudget", NAME)["spec"]["selector"]["matchLabels"],
        whole.one("NetworkPolicy", NAME)["spec"]["podSelector"]["matchLabels"],
        whole.one("Service", NAME)["spec"]["selector"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod(whole)["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= others.items()
    assert not whole.one("NetworkPolicy", "groyne-controller")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_sandboxes_find_it_where_their_network_policies_let_them_go(whole):
    """What the controller opens for templates is where this Service leads and the pods' own policy lets in."""
    endpoint = Endpoint()
    labels = whole.one("Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    (port,) = whole.one("Service", NAME)["spec"]["ports"]
    (served,) = [each for each in container(whole)["ports"] if each["name"] == port["targetPort"]]
    (rule,) = whole.one("NetworkPolicy", NAME)["spec"]["ingress"]
    assert endpoint.labels.items() <= labels.items()
    assert endpoint.port == served["containerPort"] == port["port"]
    assert settings(whole).listen.endswith(f":{endpoint.port}")
    assert rule == {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": served["name"]}]}


def test_it_goes_out_to_few_ports(whole):
    spec = whole.one("NetworkPolicy", NAME)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule["ports"] for rule in spec["egress"])


def test_probes_ask_the_health_port_of_the_settings(whole):
    ports = {each["name"]: each["containerPort"] for each in container(whole)["ports"]}
    assert ports["health"] == settings(whole).health_port
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        assert container(whole)[probe]["httpGet"] == {"path": path, "port": "health"}


def test_a_pod_has_time_to_be_left_alone_and_to_drain(whole):
    before = container(whole)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(whole)["terminationGracePeriodSeconds"] > before + settings(whole).drain + 3


def test_a_replica_goes_only_when_another_is_ready(whole):
    deployment = whole.one("Deployment", NAME)["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert whole.one("PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1


def test_it_reads_and_nothing_else_and_no_secret_of_the_whole_cluster(alone):
    assert bound(alone, "ClusterRoleBinding") == CLUSTER | NAMESPACED | {NAMESPACES}
    assert bound(alone, "RoleBinding") == set()


def test_for_one_namespace_all_that_lies_in_namespaces_is_in_roles(tmp_path):
    objects = composed(tmp_path, *ONE)
    assert bound(objects, "ClusterRoleBinding") == CLUSTER
    assert bound(objects, "RoleBinding") == NAMESPACED | OPTED_IN
    for each in objects.of("RoleBinding", "ClusterRoleBinding"):
        assert {subject["namespace"] for subject in each["subjects"]} == {"ours"}
    assert {"name": "GROYNE_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}} in container(objects)["env"]


def test_a_namespace_that_opts_in_lets_it_read_secrets_and_configmaps(tmp_path, alone):
    (tmp_path / "team").mkdir()
    head = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}
    (tmp_path / "team" / "namespace.yaml").write_text(json.dumps(head))
    used = [os.path.relpath(ROOT / each, (tmp_path / "team").resolve()) for each in ("namespace", "namespace/ext-proc")]
    kustomization = {"namespace": "team-a", "resources": ["namespace.yaml"], "components": used}
    (tmp_path / "team" / "kustomization.yaml").write_text(json.dumps(kustomization))
    binding = render(tmp_path / "team").one("RoleBinding", "groyne-ext-proc-namespace")
    assert binding["metadata"]["namespace"] == "team-a"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": "groyne-system"}]
    assert set(rules([alone.one("ClusterRole", binding["roleRef"]["name"])])) == OPTED_IN


@pytest.mark.parametrize("components", [EXT_PROC, ONE], ids=lambda each: each[-1])
def test_a_gateway_adds_pods_and_its_own_id_and_a_certificate_still_counts_first(tmp_path, components):
    objects = composed(tmp_path, *components, "components/ext-proc-gateway")
    found = settings(objects)
    assert PODS in bound(objects, "RoleBinding" if components is ONE else "ClusterRoleBinding")
    assert [str(each) for each in found.identity] == ["certificate", "attributes", "address"]
    assert not found.allow_mode_override, "an Envoy whose filter does not have it would send on what nobody judged"
    assert Peers.of(*found.tls_clients).allow(SpiffeId.parse("spiffe://cluster.local/ns/groyne-system/sa/egress-gateway"))


def test_who_lets_addresses_count_is_told_what_the_gateway_must_not_believe():
    """Else a header would say whose request it is: wherever the source is turned on, or described."""
    component = (Path(ROOT) / "components" / "ext-proc-gateway" / "kustomization.yaml").read_text()
    for text in (component, (REPOSITORY / "docs" / "ext-proc.md").read_text()):
        for needed in ("use_remote_address: true", "xff_num_trusted_hops: 0", "original_ip_detection_extensions"):
            assert needed in text


def test_the_files_are_those_that_the_secret_is_mounted_as(alone):
    (volume,) = pod(alone)["volumes"]
    (mount,) = container(alone)["volumeMounts"]
    found = settings(alone)
    assert mount["readOnly"] is True
    assert {str(each) for each in (found.tls_cert, found.tls_key, found.tls_ca)} == {
        f"{mount['mountPath']}/{name}" for name in ("tls.crt", "tls.key", "ca.crt")
    }
    assert volume["name"] == mount["name"]


def test_cert_managers_certificate_is_one_that_its_peers_accept(tmp_path):
    whole = composed(tmp_path, *CERT_MANAGER)
    certificate = whole.one("Certificate", NAME)["spec"]
    (volume,) = pod(whole)["volumes"]
    assert volume["secret"]["secretName"] == certificate["secretName"]
    (uri,) = certificate["uris"]
    assert uri == controllers(whole).ext_proc_identity
    assert SpiffeId.parse(uri).path == ("ns", "groyne-system", "sa", pod(whole)["serviceAccountName"])
    spelt = {Purpose.SERVER: "server auth", Purpose.CLIENT: "client auth"}
    assert {spelt[each] for each in Purpose} | {"digital signature"} == set(certificate["usages"])
    issuer = whole.one("Issuer", certificate["issuerRef"]["name"])
    authority = whole.one("Certificate", "groyne-ca")["spec"]
    assert issuer["spec"]["ca"]["secretName"] == authority["secretName"]
    assert authority["isCA"] is True


def helper(objects: Objects) -> Json:
    (found,) = pod(objects)["initContainers"]
    return found


def test_spiffe_helper_writes_the_files_that_ext_proc_reads(helped):
    (config,) = [each for each in helped.of("ConfigMap") if "spiffe-helper" in each["metadata"]["name"]]
    said = dict(re.findall(r'^(\w+) = "?([^"\n]+)"?$', config["data"]["helper.conf"], flags=re.MULTILINE))
    found = settings(helped)
    assert [str(found.tls_cert), str(found.tls_key), str(found.tls_ca)] == [
        f"{said['cert_dir']}/{said[key]}" for key in ("svid_file_name", "svid_key_file_name", "svid_bundle_file_name")
    ]
    assert said["daemon_mode"] == "true"


def test_spiffe_helper_is_a_sidecar_that_shares_memory_with_ext_proc_and_no_disk(helped):
    assert helper(helped)["restartPolicy"] == "Always"
    volumes = {each["name"]: each for each in pod(helped)["volumes"]}
    assert volumes["tls"] == {"name": "tls", "emptyDir": {"medium": "Memory", "sizeLimit": "4Mi"}}
    assert volumes["spiffe-workload-api"]["csi"] == {"driver": "csi.spiffe.io", "readOnly": True}
    ours, theirs = ({each["name"]: each for each in one["volumeMounts"]} for one in (container(helped), helper(helped)))
    assert ours["tls"]["readOnly"] is True
    assert "readOnly" not in theirs["tls"]
    assert ours["tls"]["mountPath"] == theirs["tls"]["mountPath"]
    assert "spiffe-workload-api" not in ours
    assert set(theirs) <= set(volumes)
    (config,) = [each["metadata"]["name"] for each in helped.of("ConfigMap") if "spiffe-helper" in each["metadata"]["name"]]
    assert volumes["spiffe-helper"]["configMap"]["name"] == config


def test_spiffe_helpers_image_is_the_overlays_choice(tmp_path):
    assert helper(composed(tmp_path, *EXT_PROC, "components/spiffe-helper"))["image"] == "ghcr.io/spiffe/spiffe-helper:0.10.0"
    chosen = [{"name": "ghcr.io/spiffe/spiffe-helper", "newName": "mirror.example/helper", "newTag": "1"}]
    assert helper(composed(tmp_path, *EXT_PROC, "components/spiffe-helper", images=chosen))["image"] == "mirror.example/helper:1"


def test_every_id_in_the_components_is_spelt_as_one():
    texts = [text for path in sorted(Path(ROOT).rglob("*ext-proc*/*.yaml")) for text in re.findall(r"spiffe://[^\s,\]]+", path.read_text())]
    assert len(texts) > 2
    for text in texts:
        Pattern.parse(text)


def test_the_command_is_a_package_of_ours(whole):
    command = container(whole)["command"]
    assert command[:2] == ["python3", "-m"]
    assert (REPOSITORY / command[2] / "__init__.py").exists()
