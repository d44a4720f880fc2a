"""What RBAC gives the controller, and people: exactly this."""

import pytest

from unit_tests.kustomize.rendered import ACCOUNT, OVERLAYS, Objects, composed, overlay, rules

READ = frozenset({"get", "list", "watch"})
LIST = READ - {"get"}
KRUISE, TEMPLATES, NETWORK = "agents.kruise.io", "extensions.agents.x-k8s.io", "networking.k8s.io"
LEASE = {
    ("coordination.k8s.io", "leases", frozenset({"create"}), ()),
    ("coordination.k8s.io", "leases", frozenset({"get", "update"}), ("groyne-controller",)),
}
CLUSTER = {
    (KRUISE, "globalsecurityprofiles", LIST, ()),
    (KRUISE, "globalsecurityprofiles/status", frozenset({"patch"}), ()),
    ("", "nodes", LIST, ()),
    (NETWORK, "servicecidrs", LIST, ()),
    ("", "services", frozenset({"get"}), ("kubernetes",)),
}
NAMESPACED = {
    (KRUISE, "securityprofiles", LIST, ()),
    (KRUISE, "securityprofiles/status", frozenset({"patch"}), ()),
    (TEMPLATES, "sandboxtemplates", LIST | {"patch"}, ()),
    (NETWORK, "networkpolicies", LIST | {"create", "patch", "delete"}, ()),
    ("", "pods", LIST | {"patch"}, ()),
    ("events.k8s.io", "events", frozenset({"create", "patch"}), ()),
}
NAMESPACES = ("", "namespaces", LIST, ())
SECRETS = ("", "secrets", READ | {"create", "patch", "delete"}, ())
FINALIZERS = (TEMPLATES, "sandboxtemplates/finalizers", frozenset({"update"}), ())


def bound(objects: Objects, kind: str) -> set[tuple]:
    """What bindings of this kind give the account."""
    roles = [
        objects.one(each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in objects.of(kind)
        if any(subject["name"] == ACCOUNT for subject in each["subjects"])
    ]
    return set(rules(roles))


@pytest.mark.parametrize("name", ["default", "dev", "beside-others"])
def test_the_account_reads_all_namespaces_but_no_secret(name):
    assert bound(overlay(name), "ClusterRoleBinding") == CLUSTER | NAMESPACED | {NAMESPACES}
    assert bound(overlay(name), "RoleBinding") == LEASE


def test_for_one_namespace_all_that_lies_in_namespaces_is_in_roles():
    objects = overlay("one-namespace")
    assert bound(objects, "ClusterRoleBinding") == CLUSTER
    assert bound(objects, "RoleBinding") == LEASE | NAMESPACED | {SECRETS}
    assert "ClusterRole/groyne-controller" not in objects.names


@pytest.mark.parametrize("name", OVERLAYS)
def test_there_is_no_wildcard_and_nothing_that_leads_to_other_rights(name):
    roles = overlay(name).of("Role", "ClusterRole")
    assert roles
    for group, resource, verbs, _ in rules(roles):
        assert "*" not in {group, resource, *verbs}
        assert not verbs & {"escalate", "bind", "impersonate"}
        assert not resource.startswith(("serviceaccounts", "roles", "clusterroles", "pods/", "nodes/"))
    assert not any("nonResourceURLs" in rule for role in roles for rule in role["rules"])


@pytest.mark.parametrize("name", OVERLAYS)
def test_secrets_are_in_one_role_that_is_never_bound_for_the_whole_cluster(name):
    objects = overlay(name)
    holding = [role["metadata"]["name"] for role in objects.of("Role", "ClusterRole") if any(row[1] == "secrets" for row in rules([role]))]
    assert holding == ["groyne-namespace"]
    assert not any(each["roleRef"]["name"] in holding for each in objects.of("ClusterRoleBinding"))


@pytest.mark.parametrize("scope", ["all-namespaces", "one-namespace"])
def test_owner_enforcement_adds_one_right_wherever_the_rules_are(tmp_path, scope):
    kind = {"all-namespaces": "ClusterRole", "one-namespace": "Role"}[scope]
    objects = composed(tmp_path, f"components/{scope}", "components/owner-enforcement")
    added = [role["metadata"]["name"] for role in objects.of("Role", "ClusterRole") if FINALIZERS in rules([role])]
    assert added == [ACCOUNT]
    assert FINALIZERS in rules([objects.one(kind, ACCOUNT)])


def test_viewers_read_profiles_and_never_write_them():
    roles = [role for role in overlay("default").of("ClusterRole") if "to-view" in str(role["metadata"].get("labels"))]
    assert {row[1] for row in rules(roles)} >= {"securityprofiles", "globalsecurityprofiles", "sandboxtemplates"}
    assert all(row[2] <= READ for row in rules(roles))


def test_global_profiles_are_written_by_administrators_of_the_cluster_alone():
    roles = [role for role in overlay("default").of("ClusterRole") if "to-edit" in str(role["metadata"].get("labels"))]
    assert {row[1] for row in rules(roles)} == {"securityprofiles", "securityprofiles/status", "sandboxtemplates"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_nobody_is_given_the_right_to_write_a_status_but_the_controller(name):
    writing = [
        role["metadata"]["name"]
        for role in overlay(name).of("Role", "ClusterRole")
        for row in rules([role])
        if row[1].endswith("/status") and row[2] - READ
    ]
    assert set(writing) == {"groyne-controller", "groyne-controller-cluster"}
