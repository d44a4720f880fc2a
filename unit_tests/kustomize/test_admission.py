"""The admission policies: closed on error, bound, and about the controller wherever kustomize puts it. What they refuse is tried on an
API server, in e2e/kubernetes/test_install.py.
"""

import re

import pytest

from controller.compile import ca_secret, groyne_policy, network_policy, secret, workload_secrets
from controller.compile.output import LABELS
from controller.nudger import REVISION
from policy.template_hashes import HASH_LABEL
from unit_tests.kustomize.rendered import ACCOUNT, OVERLAYS, Objects, composed, overlay, rules

PLACES = {"namespace": "elsewhere", "namePrefix": "blue-", "nameSuffix": "-two"}
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
NO_OBJECTS_OF_OTHERS = {"events", "leases", "securityprofiles/status", "globalsecurityprofiles/status", "sandboxtemplates/finalizers"}


def condition(objects: Objects) -> str:
    """The one by which all policies know the controller."""
    policies = {policy["metadata"]["name"]: policy["spec"]["matchConditions"] for policy in objects.of("ValidatingAdmissionPolicy")}
    for name, conditions in policies.items():
        assert [each["name"] for each in conditions] == ["controller", "refused"][: 2 if "secrets" in name else 1]
    (found,) = {conditions[0]["expression"] for conditions in policies.values()}
    return str(found)


def known(expression: str, user: str) -> bool:
    (pattern,) = re.findall(r"^request\.userInfo\.username\.matches\('(.+)'\)$", expression)
    return bool(re.search(pattern, user))


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_policy_is_closed_on_error_and_bound_everywhere(name):
    policies = overlay(name).of("ValidatingAdmissionPolicy")
    assert len(policies) == 4
    for policy in policies:
        assert policy["spec"]["failurePolicy"] == "Fail"
        binding = overlay(name).one("ValidatingAdmissionPolicyBinding", policy["metadata"]["name"])
        assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}


@pytest.mark.parametrize("name", OVERLAYS)
def test_whatever_the_controller_may_write_of_others_has_a_policy(name):
    roles = [role for role in overlay(name).of("Role", "ClusterRole") if role["metadata"]["name"].startswith((ACCOUNT, "groyne-namespace"))]
    written = {resource for _, resource, verbs, _ in rules(roles) if verbs & WRITES} - NO_OBJECTS_OF_OTHERS
    covered = {
        resource
        for policy in overlay(name).of("ValidatingAdmissionPolicy")
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
    }
    assert written == {resource for resource in covered if not resource.endswith("/*")}
    for policy in overlay(name).of("ValidatingAdmissionPolicy"):
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
            whole = all(resource.endswith("/*") for resource in rule["resources"])
            assert set(rule["operations"]) == ({"*"} if whole else {"CREATE", "UPDATE", "DELETE"})


def test_a_secret_is_passed_over_only_where_no_validation_would_refuse_it():
    spec = overlay("default").one("ValidatingAdmissionPolicy", "groyne-controller-secrets")["spec"]
    variables = {each["name"]: each["expression"] for each in spec["variables"]}

    def written_out(expression: str) -> str:
        while "variables." in expression:
            expression = re.sub(r"variables\.(\w+)", lambda found: f"({variables[found[1]]})", expression)
        return f"({expression})"

    controller, refused = spec["matchConditions"]
    assert (
        refused["expression"]
        == f"{controller['expression']} && !(" + " && ".join(written_out(each["expression"]) for each in spec["validations"]) + ")"
    )


def test_no_way_around_the_pods_policy_leads_over_a_subresource():
    """Image, size and status of a pod can be changed by those too."""
    spec = overlay("default").one("ValidatingAdmissionPolicy", "groyne-controller-pods")["spec"]
    assert {resource for rule in spec["matchConstraints"]["resourceRules"] for resource in rule["resources"]} == {"pods", "pods/*"}
    assert "request.subResource" in spec["validations"][0]["expression"]


@pytest.mark.parametrize("more", [{}, {"namespace": "elsewhere"}, {"namePrefix": "blue-"}, {"nameSuffix": "-two"}, PLACES], ids=str)
def test_the_controller_is_known_wherever_kustomize_puts_it(tmp_path, more):
    objects = composed(tmp_path, "components/all-namespaces", **more)
    (account,) = objects.of("ServiceAccount")
    head = account["metadata"]
    assert known(condition(objects), f"system:serviceaccount:{head['namespace']}:{head['name']}")


@pytest.mark.parametrize(
    "user",
    ["system:admin", ACCOUNT, "system:serviceaccount:groyne-controller:default", f"system:serviceaccount:a:not{ACCOUNT}", f"x:{ACCOUNT}"],
)
def test_nobody_else_is_known(user):
    assert not known(condition(overlay("default")), user)


def test_the_policies_names_for_things_are_the_controllers():
    texts = {policy["metadata"]["name"]: str(policy["spec"]) for policy in overlay("default").of("ValidatingAdmissionPolicy")}
    ((label, value),) = LABELS.items()
    assert f"'{REVISION}'" in texts["groyne-controller-pods"]
    assert f"'{HASH_LABEL}'" in texts["groyne-controller-sandboxtemplates"]
    kept = (workload_secrets.AUTHORITY, workload_secrets.SERVER)
    assert all(f"'{each}'" in texts["groyne-controller-secrets"] for each in (label, value, secret.SUFFIX, ca_secret.SUFFIX, *kept))
    assert all(f"'{each.SUFFIX}'" in texts["groyne-controller-networkpolicies"] for each in (network_policy, groyne_policy))
