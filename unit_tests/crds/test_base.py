"""How a model reads a dict: null is absent, unknown fields are named, nothing hides anything."""

from typing import Any

import pytest
from pydantic import ValidationError

from crds import SecurityProfile, parse
from unit_tests.crds.build import accepted, acting, faults, matching, profile, rule


@pytest.mark.parametrize(
    "raw",
    [
        profile(priority=None, rules=None, audit=None, inputs=None),
        matching(paths=None, methods=None, ports=None, headers=None),
        acting(block=None, tokenTransformation=None, audit=None),
    ],
)
def test_null_counts_as_absent(raw: dict[str, Any]) -> None:
    accepted(raw)


def test_null_takes_the_default() -> None:
    assert accepted(acting(block={"statusCode": None})).spec.rules[0].actions.block.status_code == 403


def test_null_does_not_stand_for_a_required_field() -> None:
    assert faults(profile(selector=None)) == [("MissingField", "spec.selector")]


@pytest.mark.parametrize(
    ("raw", "field", "hint"),
    [
        (profile(rule=[]), "spec.rule", "did you mean `rules`?"),
        (matching(query_params=[]), "spec.rules[0].match[0].query_params", "did you mean `queryParams`?"),
        (matching(domainss=None), "spec.rules[0].match[0].domainss", "did you mean `domains`?"),
        (acting(block={"code": 1, "zzz": 1}), "spec.rules[0].actions.block.zzz", "remove it"),
        ({**profile(), "specs": {}}, "specs", "did you mean `spec`?"),
    ],
)
def test_an_unknown_field_is_named_with_the_one_that_was_meant(raw: dict[str, Any], field: str, hint: str) -> None:
    found = {problem.field: problem for problem in parse(raw).problems}
    assert found[field].reason == "UnknownField"
    assert hint in found[field].message


def test_python_names_are_no_yaml_names() -> None:
    """`match_labels` must not pass for `matchLabels`: the API server would drop it, and the selector would select everything."""
    assert faults(profile(selector={"match_labels": {"app": "a"}})) == [("UnknownField", "spec.selector.match_labels")]


def test_every_mistake_of_an_object_is_reported_at_once() -> None:
    """Unknown fields, types, limits, duplicates and broken laws, on all levels and in one object."""
    raw = profile(
        priority="5",
        unknown=1,
        rules=[
            rule("same", headerManipulation={"set": [{"name": "a", "value": 1}], "remove": ["a"], "x": 1}),
            {"name": "same", "match": [], "actions": {"block": {"statusCode": 99}}},
        ],
        audit=[{"name": "A", "webhook": {"url": "u", "request": {"body": {"json": [], "text": "t"}}}}],
    )
    assert set(faults(raw)) == {
        ("UnknownField", "spec.unknown"),
        ("InvalidType", "spec.priority"),
        ("Duplicate", "spec.rules[1].name"),
        ("UnknownField", "spec.rules[0].actions.headerManipulation.x"),
        ("InvalidType", "spec.rules[0].actions.headerManipulation.set[0].value"),
        ("Conflict", "spec.rules[0].actions.headerManipulation.remove[0]"),
        ("TooFew", "spec.rules[1].match"),
        ("InvalidValue", "spec.rules[1].actions.block.statusCode"),
        ("InvalidValue", "spec.audit[0].name"),
        ("Conflict", "spec.audit[0].webhook.request.body"),
        ("InvalidType", "spec.audit[0].webhook.request.body.json"),
    }


def test_a_model_cannot_be_changed() -> None:
    spec = accepted(profile()).spec
    with pytest.raises(ValidationError):
        spec.priority = 1


def test_an_error_of_a_model_shows_no_input() -> None:
    """Models are also built directly; their exception must not carry what a user wrote."""
    with pytest.raises(ValidationError) as caught:
        SecurityProfile.model_validate(matching(paths=[{"value": "hush" * 100}]))
    assert "hush" not in str(caught.value)
