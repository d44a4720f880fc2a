"""A problem's line of text: place, severity, subject, message and reason, as far as they are known."""

from crds.problem import Problem
from manifests.located import LocatedProblem

PROBLEM = Problem(reason="SecretNotFound", message="there is no Secret a/b here", field="spec.rules[0]", fatal=False)


def test_the_place_comes_first():
    located = LocatedProblem(problem=PROBLEM, file="p.yaml", line=3, kind="SecurityProfile", namespace="a", name="p")
    assert str(located) == "p.yaml:3: warning: SecurityProfile a/p spec.rules[0]: there is no Secret a/b here [SecretNotFound]"


def test_an_object_whose_file_is_gone_has_no_place():
    """A last good version stays in force while an edit is broken, also without the file it came from."""
    located = LocatedProblem(problem=PROBLEM, file="", kind="SecurityProfile", namespace="a", name="p")
    assert str(located) == "warning: SecurityProfile a/p spec.rules[0]: there is no Secret a/b here [SecretNotFound]"
