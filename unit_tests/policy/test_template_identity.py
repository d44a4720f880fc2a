"""Profiles select a template's pods by the labels that those really carry."""

from policy.template_hashes import HASH_LABEL
from policy.template_identity import template_identity
from unit_tests.controller.compile.build import block, profile, program, raw_template, read_template, template


def test_identity_is_the_pods_labels_and_the_hash():
    """Namespace and labels come from the template; the hash label is added, since every pod gets it."""
    identity = template_identity(template("my-template"))
    assert identity.namespace == "team-a"
    assert dict(identity.labels) == {"app": "agent", HASH_LABEL: "aeae83fc"}


def test_labels_that_never_reach_a_pod_select_nothing():
    """agent-sandbox drops reserved labels of the pod template: a forged hash is not the pod's."""
    raw = raw_template("my-template")
    raw["spec"]["podTemplate"]["metadata"]["labels"] = {"extensions.agents.x-k8s.io/x": "1", HASH_LABEL: "00000000"}
    assert dict(template_identity(read_template(raw)).labels) == {HASH_LABEL: "aeae83fc"}


def test_without_namespace_it_is_default():
    """A file may leave the namespace out, as kubectl allows."""
    raw = raw_template()
    del raw["metadata"]["namespace"]
    assert template_identity(read_template(raw)).namespace == "default"


def test_a_profile_selects_by_pod_labels_and_by_hash():
    """Both kinds of labels work in a selector, and what does not match selects nothing."""
    rules = [block("bad.test")]
    by_label, by_hash = profile("by-label", rules), profile("by-hash", rules, labels={HASH_LABEL: "aeae83fc"})
    other = profile("other", rules, labels={"app": "else"})
    chosen = program(by_label, by_hash, other).select(template_identity(template("my-template")))
    assert [found.ref.name for found in chosen.profiles] == ["by-hash", "by-label"]
