"""A problem with one rule → the problem where that rule stands: file, line, and the field below the rule."""

from crds import Problem
from manifests.load import Manifests
from manifests.located import LocatedProblem
from policy.program import Rule


def at_rule(manifests: Manifests, rule: Rule, problem: Problem) -> LocatedProblem:
    """`problem.field` is read relative to the rule. A rule of a last good version may stand nowhere any more."""
    placed = problem.below(f"spec.rules[{rule.index}]")
    loaded = manifests.profiles.get((rule.profile.namespace, rule.profile.name))
    if loaded is None or loaded.kind != rule.profile.kind:
        return LocatedProblem(problem=placed, file="", kind=rule.profile.kind, namespace=rule.profile.namespace, name=rule.profile.name)
    return loaded.locate(placed)
