"""What does not fit, as problems at the rule or profile to change: `check` and `run` say them, so that nothing fails in silence.

`TooManyHeaderRules` is no error of the whole: its host answers 503. `PolicyTooLarge` is: Envoy would not get ready in time.
"""

from collections import Counter
from collections.abc import Iterator

from controller.compile.template import passthrough
from crds import Problem
from dataplane.compile import Plan, make_plan
from dataplane.hosts import RuleIndex
from dataplane.limits import LARGEST, policy_size, too_many_slots
from groyne.at_rule import at_rule
from manifests.load import Manifests
from manifests.located import LocatedProblem
from policy.program import Identity, Program, Rule, Selection
from policy.template_identity import template_identity

OVERFULL = "TooManyHeaderRules"
TOO_LARGE = "PolicyTooLarge"


def limit_problems(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    yield from too_large(manifests, plan)
    hosts: dict[Rule, set[str]] = {}
    for found in too_many_slots(plan):
        hosts.setdefault(found.last, set()).add(found.host.pattern.text)
    yield from (at_rule(manifests, rule, overfull(sorted(texts))) for rule, texts in hosts.items())


def overfull(hosts: list[str]) -> Problem:
    shown = ", ".join(f"`{host}`" for host in hosts[:5]) + (f" and {len(hosts) - 5} more" if len(hosts) > 5 else "")
    message = (
        f"the rules up to this one change more headers of {shown} independently of each other than there is room for, so every request "
        "there is answered with 503: let rules with the same match be one rule, or narrow their domains"
    )
    return Problem(reason=OVERFULL, message=message, fatal=False)


def too_large(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    """Told at the rule that covers the most hosts."""
    size = policy_size(plan)
    if size <= LARGEST or not plan.selection.rules:
        return
    message = (
        f"{len(plan.hosts)} hosts carry {size} conditions of the rules that cover them, and {LARGEST} can be carried out: name "
        "hosts instead of `*` in rules such as this one, join paths into one regex, or choose profiles by labels, so that fewer "
        "rules meet"
    )
    yield at_rule(manifests, widest(plan), Problem(reason=TOO_LARGE, message=message))


def widest(plan: Plan) -> Rule:
    index = RuleIndex(plan.selection.rules)
    carried = Counter(found.rule for host in plan.hosts for found in index.covering(host.pattern))
    return carried.most_common(1)[0][0]


def likely_plans(manifests: Manifests, program: Program) -> Iterator[Plan]:
    """Whoever there may be: each template's pods, and for each selector those that it and the selectors of everything choose."""
    for loaded in manifests.templates.values():
        yield make_plan(program.select(template_identity(loaded.object)), passthrough(loaded.object))
    namespaces = {profile.ref.namespace for profile in program.profiles if profile.ref.namespace} or {""}
    seen = {(space, profile.selector) for space in namespaces for profile in program.profiles if profile.ref.namespace in ("", space)}
    for namespace, selector in seen:
        chosen = tuple(
            profile
            for profile in program.profiles
            if profile.ref.namespace in ("", namespace) and (profile.selector == selector or not profile.selector.requirements)
        )
        yield make_plan(Selection(profiles=chosen, identity=Identity(namespace=namespace)))
