"""Each component does what its head says, alone and with those that it is used with."""

import json
import os

import pytest

from controller.settings import Settings
from crds.schema import files
from unit_tests.kustomize.rendered import ACCOUNT, ROOT, composed, overlay, render

TEMPLATE_CRD = "sandboxtemplates.extensions.agents.x-k8s.io"


def test_a_namespace_opts_in_by_label_and_binding_and_keeps_the_accounts_namespace(tmp_path):
    (tmp_path / "namespace.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}}))
    used = os.path.relpath(ROOT / "namespace", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"namespace": "team-a", "resources": ["namespace.yaml"], "components": [used]}))
    objects = render(tmp_path)
    key, _, value = Settings().opt_in_label.partition("=")
    assert objects.one("Namespace", "team-a")["metadata"]["labels"] == {key: value}
    binding = objects.one("RoleBinding", "groyne-namespace")
    assert binding["metadata"]["namespace"] == "team-a"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "groyne-system"}]
    role = overlay("default").one("ClusterRole", binding["roleRef"]["name"])
    assert [rule["resources"] for rule in role["rules"]] == [["secrets"]]


def test_the_overlays_leave_the_base_without_a_right_in_namespaces_until_they_choose_one(tmp_path):
    assert "ClusterRole/groyne-controller" not in composed(tmp_path).names


def test_metrics_are_scraped_from_the_controllers_port_by_labelled_namespaces_alone(tmp_path):
    objects = composed(tmp_path, "components/all-namespaces", "components/metrics")
    service, monitor = objects.one("Service", "groyne-metrics"), objects.one("ServiceMonitor", ACCOUNT)
    labels = objects.one("Deployment", ACCOUNT)["spec"]["template"]["metadata"]["labels"]
    (port,) = objects.container["ports"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    (rule,) = objects.one("NetworkPolicy", ACCOUNT)["spec"]["ingress"]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"metrics": "enabled"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": port["name"]}]


@pytest.mark.parametrize("scraped", [True, False])
def test_cert_manager_gives_the_port_a_certificate_that_probes_and_scrapers_expect(tmp_path, scraped):
    metrics = ["components/metrics"] if scraped else []
    objects = composed(tmp_path, "components/all-namespaces", *metrics, "components/cert-manager")
    certificate = objects.one("Certificate", "groyne-metrics")["spec"]
    (volume,) = objects.pod["volumes"]
    (mount,) = objects.container["volumeMounts"]
    values = {each["name"]: each.get("value", "") for each in objects.container["env"]}
    assert volume["secret"]["secretName"] == certificate["secretName"]
    assert mount["name"] == volume["name"]
    assert values["GROYNE_METRICS_CERT"] == f"{mount['mountPath']}/tls.crt"
    assert values["GROYNE_METRICS_KEY"] == f"{mount['mountPath']}/tls.key"
    assert "GROYNE_POD_NAME" in values
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert objects.container[probe]["httpGet"]["scheme"] == "HTTPS"
    for monitor in objects.of("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["scheme"] == "https"
        assert [endpoint["tlsConfig"]["serverName"]] == certificate["dnsNames"]
        assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == certificate["secretName"]
    assert bool(objects.of("ServiceMonitor")) == scraped


def test_the_profiles_definitions_are_the_generated_ones():
    generated = {name.removesuffix(".yaml").replace("agents.kruise.io_", "") for name in files() if name != "kustomization.yaml"}
    found = {each["spec"]["names"]["plural"] for each in overlay("default").of("CustomResourceDefinition")}
    assert found == generated | {"sandboxtemplates"}


def test_the_templates_definition_serves_one_version_that_nobody_has_to_convert():
    found = overlay("default").one("CustomResourceDefinition", TEMPLATE_CRD)
    assert "conversion" not in found["spec"]
    assert [version["name"] for version in found["spec"]["versions"]] == ["v1beta1"]
    assert found["spec"]["names"]["shortNames"] == ["sandboxtemplate"]


def test_what_is_applied_fits_into_the_annotation_in_which_kubectl_remembers_it():
    for each in overlay("default"):
        assert len(json.dumps(each)) < 250_000, each["metadata"]["name"]
