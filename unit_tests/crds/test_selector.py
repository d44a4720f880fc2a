"""Label selectors: syntax and shape."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, faults, profile


def test_a_selector_reads_labels_and_expressions() -> None:
    expression = {"key": "example.com/team", "operator": "In", "values": ["a", "b"]}
    selector = accepted(profile(selector={"matchLabels": {"app": "x"}, "matchExpressions": [expression]})).spec.selector
    assert selector.match_labels == {"app": "x"}
    assert [(r.key, r.operator, r.values) for r in selector.match_expressions] == [("example.com/team", "In", ("a", "b"))]


def test_an_empty_selector_is_valid() -> None:
    selector = accepted(profile()).spec.selector
    assert (selector.match_labels, selector.match_expressions) == ({}, ())


@pytest.mark.parametrize(
    ("selector", "reason", "field"),
    [
        ({"matchLabels": {"app": 1}}, "InvalidType", "matchLabels.app"),
        ({"matchLabels": {"app": True}}, "InvalidType", "matchLabels.app"),
        ({"matchLabels": {"app": None}}, "InvalidType", "matchLabels.app"),
        ({"matchLabels": {"app": "a b"}}, "InvalidValue", "matchLabels.app"),
        ({"matchLabels": {"__none__": "a"}}, "InvalidValue", "matchLabels.__none__"),
        ({"matchLabels": {"a/b/c": "a"}}, "InvalidValue", 'matchLabels["a/b/c"]'),
        ({"matchLabels": ["app"]}, "InvalidType", "matchLabels"),
        ({"matchExpressions": [{"key": "a", "operator": "in", "values": ["x"]}]}, "InvalidEnum", "matchExpressions[0].operator"),
        ({"matchExpressions": [{"key": "a", "operator": "In"}]}, "MissingField", "matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}, "MissingField", "matchExpressions[0].values"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}, "Conflict", "matchExpressions[0].values"),
        ({"matchExpressions": [{"operator": "Exists"}]}, "MissingField", "matchExpressions[0].key"),
        ({"matchExpressions": [{"key": "", "operator": "Exists"}]}, "InvalidValue", "matchExpressions[0].key"),
    ],
)
def test_a_selector_that_cannot_select_is_located(selector: dict[str, Any], reason: str, field: str) -> None:
    """A null label is a mistake here: the API server drops it, and what is left would select every pod."""
    assert faults(profile(selector=selector)) == [(reason, f"spec.selector.{field}")]
