"""The state table of a template's NetworkPolicy: what is wanted, what is there, whose it is, and the one step that follows."""

from copy import deepcopy
from typing import Any

import pytest

from controller.compile.network_policy import network_policy
from controller.compile.ownership import Action, owner_renamed, policy_step
from unit_tests.controller.compile.build import template

UID = "uid-1"
CUSTOM = {"ingress": [], "egress": [{"ports": [{"port": 443}]}]}


def wanted(**spec: Any) -> dict[str, Any] | None:
    return network_policy(template(metadata={"uid": UID}, **spec)).manifest


def live(manifest: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """As the API server would give it back."""
    found = deepcopy(manifest or wanted())
    found["metadata"] |= {"resourceVersion": "7", "uid": "policy", **metadata}
    return found


def owners(*references: dict[str, Any]) -> dict[str, Any]:
    return {"ownerReferences": list(references)}


FOREIGN = [
    owners(),
    owners({"uid": "another", "controller": True}),
    owners({"uid": UID, "controller": False}),
    owners({"uid": UID}),
    owners({"uid": "stale-" + UID, "controller": True, "name": "python"}),
]


@pytest.mark.parametrize("spec", [{}, {"networkPolicy": CUSTOM}, {"networkPolicyManagement": ""}])
def test_absent_is_created(spec):
    """Managed, default or custom: what is not there is made."""
    assert policy_step(wanted(**spec), None, uid=UID).action is Action.CREATE


def test_the_same_is_left_alone():
    """A second look writes nothing."""
    assert policy_step(wanted(), live(), uid=UID).action is Action.NOTHING


@pytest.mark.parametrize("spec", [{}, {"networkPolicy": CUSTOM}, {"networkPolicy": {}}])
def test_what_differs_is_replaced(spec):
    """An edited policy is healed, and a template that changed changes it."""
    other = live(wanted(networkPolicy={"egress": [{}]}))
    assert policy_step(wanted(**spec), other, uid=UID).action is Action.REPLACE


def test_an_old_selector_is_replaced():
    """A policy of an earlier version that selects by another label is outdated."""
    old = live()
    old["spec"]["podSelector"] = {"matchLabels": {"sandbox-template": "python"}}
    assert policy_step(wanted(), old, uid=UID).action is Action.REPLACE


def test_custom_rules_removed_give_the_default_back():
    """Exactly, and once."""
    assert policy_step(wanted(), live(wanted(networkPolicy=CUSTOM)), uid=UID).action is Action.REPLACE
    assert policy_step(wanted(), live(wanted()), uid=UID).action is Action.NOTHING


@pytest.mark.parametrize("metadata", FOREIGN)
def test_what_the_template_does_not_control_is_never_written(metadata):
    """No owner, another owner, an owner that is no controller, a UID of the past: said, tried again, untouched."""
    step = policy_step(wanted(), live(**metadata), uid=UID)
    assert step.action is Action.REFUSE
    assert step.problem is not None
    assert step.problem.reason == "OwnershipConflict"


@pytest.mark.parametrize("metadata", FOREIGN)
def test_unmanaged_keeps_what_it_does_not_control(metadata):
    """And is no error."""
    step = policy_step(None, live(**metadata), uid=UID)
    assert (step.action, step.problem) == (Action.LEAVE, None)


def test_unmanaged_deletes_its_own():
    """And nothing where there is nothing; managed again, it is made again."""
    assert wanted(networkPolicyManagement="Unmanaged", networkPolicy=CUSTOM) is None
    assert policy_step(None, live(), uid=UID).action is Action.DELETE
    assert policy_step(None, None, uid=UID).action is Action.NOTHING
    assert policy_step(wanted(), None, uid=UID).action is Action.CREATE


@pytest.mark.parametrize("present", [True, False])
def test_a_policy_of_agent_sandbox_is_left_alone_unless_taken_over(present):
    """Both make it under the same name and owner; ours carry our label."""
    theirs = live(labels={}) if present else live(labels=None)
    assert policy_step(wanted(), theirs, uid=UID).action is Action.LEAVE
    assert policy_step(None, theirs, uid=UID).action is Action.LEAVE
    assert policy_step(wanted(), theirs, uid=UID, take_over=True).action is Action.REPLACE
    assert policy_step(None, theirs, uid=UID, take_over=True).action is Action.DELETE


def test_what_the_server_fills_in_is_no_difference():
    """Default protocols, empty lists, absent lists, labels added by hand."""
    spec = {"networkPolicy": {"ingress": [], "egress": [{"ports": [{"port": 443}, {}], "to": []}]}}
    filled = live(wanted(**spec), labels={"app.kubernetes.io/managed-by": "groyne", "mine": "1"})
    del filled["spec"]["ingress"]
    filled["spec"]["egress"] = [{"ports": [{"port": 443, "protocol": "TCP"}, {"protocol": "TCP"}]}]
    assert policy_step(wanted(**spec), filled, uid=UID).action is Action.NOTHING


def selecting(**peer: Any) -> dict[str, Any]:
    return {"networkPolicy": {"egress": [{"to": [peer]}]}}


def test_a_selector_without_labels_comes_back_empty_and_is_the_same():
    """And is still another one than none at all, which selects by nothing."""
    given, back = wanted(**selecting(podSelector={"matchLabels": {}})), live(wanted(**selecting(podSelector={})))
    assert policy_step(given, back, uid=UID).action is Action.NOTHING
    narrow = live(wanted(**selecting(namespaceSelector={}, podSelector={})))
    assert policy_step(wanted(**selecting(namespaceSelector={})), narrow, uid=UID).action is Action.REPLACE


def test_a_label_may_be_called_as_a_rule_s_ports_are():
    given = wanted(**selecting(podSelector={"matchLabels": {"ports": "open"}}))
    assert policy_step(given, live(given), uid=UID).action is Action.NOTHING


def test_deny_all_does_not_flap():
    """`networkPolicy: {}` comes back without rules or with empty ones: both are what was wanted."""
    bare = wanted(networkPolicy={})
    for given in ({}, {"ingress": None, "egress": []}):
        found = live(bare)
        found["spec"] |= given
        assert policy_step(bare, found, uid=UID).action is Action.NOTHING


@pytest.mark.parametrize(
    "change",
    [
        {"egress": [{}]},
        {"egress": [{"ports": [{"port": 443, "protocol": "UDP"}]}]},
        {"egress": [{"ports": [{"port": 443}], "to": [{"podSelector": {}}]}]},
        {"policyTypes": ["Ingress"]},
        {"podSelector": {}},
    ],
)
def test_what_means_something_else_is_a_difference(change):
    """An open rule, another protocol, a narrower peer, a missing direction, every pod."""
    base = wanted(networkPolicy=CUSTOM)
    found = live(base)
    found["spec"] |= change
    assert policy_step(base, found, uid=UID).action is Action.REPLACE


@pytest.mark.parametrize("broken", [{}, {"metadata": None}, {"metadata": {"ownerReferences": None, "labels": None}}])
def test_objects_that_bypassed_admission_stop_nothing(broken):
    """A poisoned object is foreign."""
    assert policy_step(wanted(), broken, uid=UID).action is Action.REFUSE


def in_version(version: str, **more: Any) -> dict[str, Any]:
    manifest = wanted()
    reference = {**manifest["metadata"]["ownerReferences"][0], "apiVersion": f"extensions.agents.x-k8s.io/{version}"}
    return live(manifest, ownerReferences=[{"uid": "another", "apiVersion": "v1"}, reference], **more)


def test_an_owner_that_is_named_in_another_version_than_it_is_read_in_is_renamed_in_its_place():
    """Where that version is not served any more the garbage collector would not find it."""
    before = in_version("v1alpha1")
    assert policy_step(wanted(), before, uid=UID).action is Action.REPLACE
    change = {"op": "add", "path": "/metadata/ownerReferences/1/apiVersion", "value": "extensions.agents.x-k8s.io/v1beta1"}
    assert owner_renamed(wanted(), before) == [change]


def test_an_owner_that_is_named_as_it_is_read_stays():
    assert owner_renamed(wanted(), in_version("v1beta1")) == []
    assert policy_step(wanted(), in_version("v1beta1"), uid=UID).action is Action.NOTHING
