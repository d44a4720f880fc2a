"""Both profile kinds: what they share, and what sets a Global one apart."""

from typing import Any

import pytest

from crds import GlobalSecurityProfile, SecurityProfile, parse
from crds.security_profile import MAX_RULES
from unit_tests.crds.build import accepted, faults, profile, rule


@pytest.mark.parametrize(("kind", "model"), [("SecurityProfile", SecurityProfile), ("GlobalSecurityProfile", GlobalSecurityProfile)])
def test_a_selector_is_all_that_a_profile_needs(kind: str, model: type) -> None:
    value = accepted(profile(kind))
    assert isinstance(value, model)
    assert (value.spec.priority, value.spec.rules, value.spec.audit, value.spec.inputs) == (1000, (), (), ())


def test_metadata_reads_under_its_python_names() -> None:
    raw = profile()
    raw["metadata"] = {"name": "n", "namespace": "ns", "labels": {"a": "b"}, "uid": "u", "generation": 3, "creationTimestamp": "2026-01-01"}
    metadata = accepted(raw).metadata
    assert (metadata.name, metadata.namespace, metadata.labels, metadata.annotations) == ("n", "ns", {"a": "b"}, {})
    assert (metadata.uid, metadata.generation) == ("u", 3)


@pytest.mark.parametrize(
    ("priority", "reason"),
    [
        (-1, "InvalidValue"),
        (2**31, "InvalidValue"),
        (10**400, "InvalidValue"),
        ("5", "InvalidType"),
        (True, "InvalidType"),
        (1e3, "InvalidType"),
    ],
)
def test_a_priority_is_a_natural_number_of_32_bits(priority: Any, reason: str) -> None:
    assert faults(profile(priority=priority)) == [(reason, "spec.priority")]


@pytest.mark.parametrize("priority", [0, 99, 2**31 - 1])
def test_reserved_priorities_are_left_to_the_policy_compiler(priority: int) -> None:
    assert accepted(profile(priority=priority)).spec.priority == priority


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        ({"name": "a"}, "Conflict", ""),
        ({"name": "a", "inline": {}, "configMap": {"name": "c", "namespace": "n"}}, "Conflict", ""),
        ({"name": "A", "inline": {}}, "InvalidValue", ".name"),
        ({"name": "a", "inline": {"k": 1}}, "InvalidType", ".inline.k"),
        ({"name": "a", "configMap": {"namespace": "n"}}, "MissingField", ".configMap.name"),
        ({"name": "a", "configMap": {"name": "c", "namespace": "x" * 64}}, "TooLong", ".configMap.namespace"),
    ],
)
@pytest.mark.parametrize("kind", ["SecurityProfile", "GlobalSecurityProfile"])
def test_an_input_has_one_source(kind: str, value: dict[str, Any], reason: str, field: str) -> None:
    assert faults(profile(kind, inputs=[value])) == [(reason, f"spec.inputs[0]{field}")]


@pytest.mark.parametrize("reference", [{"name": "c"}, {"name": "c", "namespace": ""}, {"name": "c", "namespace": None}])
def test_a_global_input_names_its_namespace(reference: dict[str, Any]) -> None:
    """A namespaced profile has one to fall back on; a Global one has not."""
    inputs = [{"name": "a", "configMap": reference}]
    accepted(profile(inputs=inputs))
    assert ("MissingField", "spec.inputs[0].configMap.namespace") in faults(profile("GlobalSecurityProfile", inputs=inputs))


def test_a_global_profile_has_no_namespace_of_its_own() -> None:
    """The API server ignores it; so do we, and say so."""
    raw = profile("GlobalSecurityProfile")
    raw["metadata"]["namespace"] = "ns"
    parsed = parse(raw)
    assert parsed.object is not None
    assert [(p.field, p.fatal) for p in parsed.problems] == [("metadata.namespace", False)]


@pytest.mark.parametrize(
    ("given", "reason", "field"),
    [
        ({"rules": {}}, "InvalidType", "spec.rules"),
        ({"rules": [None]}, "InvalidType", "spec.rules[0]"),
        ({"rules": [{"match": [{"domains": ["*"]}], "actions": {}}]}, "MissingField", "spec.rules[0].name"),
        ({"rules": [{"name": "", "match": [{"domains": ["*"]}], "actions": {}}]}, "InvalidValue", "spec.rules[0].name"),
        ({"rules": [{"name": "a", "match": [{"domains": ["*"]}]}]}, "MissingField", "spec.rules[0].actions"),
        ({"rules": [{"name": "a", "match": [], "actions": {}}]}, "TooFew", "spec.rules[0].match"),
        ({"rules": [rule(f"r{i}") for i in range(MAX_RULES + 1)]}, "TooLong", "spec.rules"),
    ],
)
def test_a_rule_outside_its_limits_is_located(given: dict[str, Any], reason: str, field: str) -> None:
    assert faults(profile(**given)) == [(reason, field)]


def test_a_status_is_read_and_never_judged_for_what_it_adds() -> None:
    raw = profile()
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    raw["status"] = {"observedGeneration": 2, "conditions": [condition], "later": 1}
    assert accepted(raw).status.observed_generation == 2
