"""Label selectors mean what they mean in Kubernetes."""

import pytest

from policy.selectors import LabelSelector, Operator, Requirement

LABELS = {"app": "x", "empty": ""}


@pytest.mark.parametrize(
    ("key", "operator", "values", "matches"),
    [
        ("app", Operator.IN, ("y", "x"), True),
        ("app", Operator.IN, ("y",), False),
        ("none", Operator.IN, ("",), False),
        ("empty", Operator.IN, ("",), True),
        ("app", Operator.NOT_IN, ("x",), False),
        ("app", Operator.NOT_IN, ("y",), True),
        ("none", Operator.NOT_IN, ("x",), True),
        ("empty", Operator.EXISTS, (), True),
        ("none", Operator.EXISTS, (), False),
        ("none", Operator.DOES_NOT_EXIST, (), True),
        ("app", Operator.DOES_NOT_EXIST, (), False),
    ],
)
def test_a_requirement_holds(key, operator, values, matches):
    assert Requirement(key=key, operator=operator, values=values).matches(LABELS) == matches


def test_all_requirements_must_hold_and_none_selects_everything():
    holds = Requirement(key="app", operator=Operator.EXISTS)
    fails = Requirement(key="app", operator=Operator.DOES_NOT_EXIST)
    assert LabelSelector(requirements=(holds, holds)).matches(LABELS)
    assert not LabelSelector(requirements=(holds, fails)).matches(LABELS)
    assert LabelSelector().matches({})
