"""SandboxTemplate: what is read is typed, the rest survives."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, faults, template


def test_what_is_unknown_survives_a_round_trip() -> None:
    raw = template(
        service=True,
        envVarsInjectionPolicy="Allowed",
        volumeClaimTemplates=[{"metadata": {"name": "w"}, "spec": {"later": None}}],
        networkPolicyManagement="Managed",
        networkPolicy={
            "ingress": [{"from": [{"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "later": 1}]}],
            "egress": [
                {
                    "to": [{"ipBlock": {"cidr": "::/0", "except": ["fc00::/7"]}}],
                    "ports": [{"port": 53, "protocol": "UDP"}, {"port": "dns", "endPort": 60}],
                }
            ],
        },
    )
    raw["metadata"]["annotations"] = {"a": "b"}
    raw["metadata"]["managedFields"] = [{"manager": "x"}]
    raw["spec"]["podTemplate"]["metadata"] = {"labels": {"app": "x"}, "annotations": {"c": "d"}}
    raw["spec"]["podTemplate"]["spec"] = {"containers": [{"name": "a", "ports": [{"containerPort": 1}]}], "dnsConfig": None}
    assert accepted(raw).to_dict() == raw


@pytest.mark.parametrize("version", ["v1beta1", "v1alpha1"])
def test_both_served_versions_are_read(version: str) -> None:
    raw = {**template(), "apiVersion": f"extensions.agents.x-k8s.io/{version}"}
    assert accepted(raw).to_dict() == raw


def test_labels_of_the_pods_are_at_hand() -> None:
    raw = template()
    raw["spec"]["podTemplate"]["metadata"] = {"labels": {"app": "x"}}
    assert accepted(raw).spec.pod_template.metadata.labels == {"app": "x"}
    assert accepted(template()).spec.pod_template.metadata.labels == {}


@pytest.mark.parametrize(
    ("management", "managed"), [({}, True), ({"networkPolicyManagement": ""}, True), ({"networkPolicyManagement": "Unmanaged"}, False)]
)
def test_the_policy_is_managed_unless_told_otherwise(management: dict[str, Any], managed: bool) -> None:
    assert accepted(template(**management)).spec.managed is managed


def test_no_policy_and_an_empty_policy_are_told_apart() -> None:
    """None asks for the built-in policy, an empty one closes both directions; a direction without rules is closed too."""
    assert accepted(template()).spec.network_policy is None
    assert accepted(template(networkPolicy=None)).spec.network_policy is None
    closed = accepted(template(networkPolicy={"egress": None})).spec.network_policy
    assert (closed.ingress, closed.egress) == ((), ())


@pytest.mark.parametrize(
    ("egress", "reason", "field"),
    [
        ({"to": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}, "InvalidValue", "to[0].ipBlock.cidr"),
        ({"to": [{"ipBlock": {"cidr": "10.0.0.1"}}]}, "InvalidValue", "to[0].ipBlock.cidr"),
        ({"to": [{"ipBlock": {"cidr": "all"}}]}, "InvalidValue", "to[0].ipBlock.cidr"),
        ({"to": [{"ipBlock": {"cidr": "::/0", "except": ["x"]}}]}, "InvalidValue", "to[0].ipBlock.except[0]"),
        ({"to": [{"ipBlock": {}}]}, "MissingField", "to[0].ipBlock.cidr"),
        ({"ports": [{"port": 0}]}, "InvalidValue", "ports[0].port"),
        ({"ports": [{"port": True}]}, "InvalidType", "ports[0].port"),
        ({"ports": [{"protocol": "tcp"}]}, "InvalidEnum", "ports[0].protocol"),
        ({"to": {"ipBlock": {}}}, "InvalidType", "to"),
    ],
)
def test_a_network_rule_that_no_policy_could_hold_is_located(egress: dict[str, Any], reason: str, field: str) -> None:
    assert faults(template(networkPolicy={"egress": [egress]})) == [(reason, f"spec.networkPolicy.egress[0].{field}")]


def test_an_unknown_management_is_located() -> None:
    assert faults(template(networkPolicyManagement="managed")) == [("InvalidEnum", "spec.networkPolicyManagement")]


def test_a_template_needs_a_spec() -> None:
    assert faults({**template(), "spec": None}) == [("MissingField", "spec")]
