"""A problem's field can be read relative to the object that holds it."""

import pytest

from crds import Problem


@pytest.mark.parametrize(
    ("field", "below"),
    [("", "spec.rules"), ("[0].name", "spec.rules[0].name"), ("name", "spec.rules.name")],
)
def test_a_problem_below_a_parent_names_the_whole_path(field: str, below: str) -> None:
    assert Problem(reason="X", message="m", field=field).below("spec.rules").field == below
