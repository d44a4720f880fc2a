"""What each overlay installs holds together, and is as closed as it can be."""

import re
import tomllib

import pytest

from controller.settings import Settings
from daemon.settings import variable
from unit_tests.kustomize.rendered import ACCOUNT, OVERLAYS, REPOSITORY, overlay

ALL = pytest.mark.parametrize("name", OVERLAYS)
NAMESPACES = {"default": "groyne-system", "dev": "groyne-system", "beside-others": "groyne-system", "one-namespace": "groyne-sandboxes"}
CLUSTER_SCOPED = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "Namespace",
}
# kustomize does not know these as such, and writes a namespace on them. kubectl and the API server leave it out.
TAKEN_FOR_NAMESPACED = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


@ALL
def test_everything_is_in_the_overlays_namespace_which_it_brings(name):
    objects = overlay(name)
    assert f"Namespace/{NAMESPACES[name]}" in objects.names
    for each in objects:
        if each["kind"] in TAKEN_FOR_NAMESPACED:
            continue
        expected = None if each["kind"] in CLUSTER_SCOPED else NAMESPACES[name]
        assert each["metadata"].get("namespace") == expected, each["metadata"]["name"]


@ALL
def test_all_that_refers_to_the_account_means_the_same_one(name):
    objects = overlay(name)
    subjects = [subject for each in objects.of("RoleBinding", "ClusterRoleBinding") for subject in each["subjects"]]
    account = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACES[name]}
    assert subjects
    assert all(subject == account for subject in subjects)
    assert objects.pod["serviceAccountName"] == ACCOUNT
    assert f"ServiceAccount/{ACCOUNT}" in objects.names


@ALL
def test_every_binding_finds_its_role(name):
    objects = overlay(name)
    for each in objects.of("RoleBinding", "ClusterRoleBinding"):
        assert f"{each['roleRef']['kind']}/{each['roleRef']['name']}" in objects.names


@ALL
def test_pods_are_restricted(name):
    """Pod Security's level restricted, and what it does not ask for."""
    pod, container = overlay(name).pod, overlay(name).container
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["privileged"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"} & pod.keys()
    assert not any("hostPort" in port for port in container["ports"])


@pytest.mark.parametrize("name", [each for each in OVERLAYS if each != "dev"])
def test_the_root_filesystem_is_read_only_where_nobody_develops(name):
    assert overlay(name).container["securityContext"]["readOnlyRootFilesystem"] is True


@ALL
def test_what_selects_pods_selects_these(name):
    objects = overlay(name)
    deployment = objects.one("Deployment", ACCOUNT)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [
        deployment["spec"]["selector"],
        objects.one("PodDisruptionBudget", ACCOUNT)["spec"]["selector"],
        objects.one("NetworkPolicy", ACCOUNT)["spec"]["podSelector"],
        *(spread["labelSelector"] for spread in objects.pod["topologySpreadConstraints"]),
    ]
    for selector in selectors:
        assert selector["matchLabels"]
        assert selector["matchLabels"].items() <= labels.items()


@ALL
def test_two_replicas_spread_and_survive_a_drain(name):
    objects = overlay(name)
    assert objects.one("Deployment", ACCOUNT)["spec"]["replicas"] == (1 if name == "dev" else 2)
    assert objects.one("PodDisruptionBudget", ACCOUNT)["spec"]["maxUnavailable"] == 1
    assert {spread["topologyKey"] for spread in objects.pod["topologySpreadConstraints"]} >= {"kubernetes.io/hostname"}


@ALL
def test_every_variable_is_a_setting_with_a_value_that_it_takes(name):
    """A misspelt variable would be refused at the start, in the cluster."""
    known = {variable(field): field for field in Settings.model_fields}
    fields = {known[each["name"]]: each.get("value") for each in overlay(name).container["env"]}
    (config,) = overlay(name).of("ConfigMap")
    fields |= {known[key]: value for key, value in config["data"].items()}
    Settings(**{field: value for field, value in fields.items() if value is not None})
    assert {"pod_name", "pod_namespace"} <= fields.keys()
    assert ("namespace" in fields) == (name == "one-namespace")


@ALL
def test_the_settings_are_those_that_the_container_reads(name):
    (config,) = overlay(name).of("ConfigMap")
    assert overlay(name).container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]


@ALL
def test_a_pod_has_time_to_drain(name):
    assert overlay(name).pod["terminationGracePeriodSeconds"] > Settings().drain_timeout + 3


@ALL
def test_probes_ask_the_port_of_the_settings(name):
    container = overlay(name).container
    (port,) = container["ports"]
    assert port["containerPort"] == Settings().health_port
    for probe, path in {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}.items():
        assert container[probe]["httpGet"] == {"path": path, "port": port["name"]}


@ALL
def test_the_lease_in_the_role_is_the_one_of_the_settings(name):
    (_, named) = overlay(name).one("Role", "groyne-controller-lease")["rules"]
    assert named["resourceNames"] == [Settings().lease_name]


@ALL
def test_the_images_tag_is_the_version(name):
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert overlay(name).container["image"] == f"groyne:{version}"


@ALL
def test_the_port_is_closed_and_the_ways_out_are_few(name):
    spec = overlay(name).one("NetworkPolicy", ACCOUNT)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not spec.get("ingress")
    assert all(rule["ports"] for rule in spec["egress"])


@ALL
def test_the_controllers_own_objects_are_not_taken_for_those_of_a_template(name):
    for each in overlay(name):
        assert each["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") != "groyne"


def test_beside_others_there_is_no_definition_of_a_kind_and_otherwise_all_is_the_same():
    without = {
        name for name in overlay("default").names if not re.match("CustomResourceDefinition/|ClusterRole/groyne-sandboxtemplate-", name)
    }
    assert overlay("beside-others").names == without
    assert not overlay("beside-others").of("CustomResourceDefinition")


def test_the_namespace_admits_restricted_pods_alone():
    labels = overlay("default").one("Namespace", "groyne-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
