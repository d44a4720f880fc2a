"""What a host's name and port decide where nobody looks inside its TLS."""

from dataplane.compile import Plan, make_plan
from dataplane.hosts import RuleIndex
from dataplane.interception import Handling, name_decisions, refused_by_name
from policy.domains import DomainPattern
from unit_tests.dataplane.policies import block, bypass, plan

API = DomainPattern(text="api.test")
RULES = (bypass("health", "api.test", paths=[{"value": "/health"}]), block("rest", "api.test"))


def refused(made: Plan) -> str | None:
    rules = made.selection.rules
    found = refused_by_name(rules, "api.test", 443, made.host("api.test").handling)
    decided = [d.refused_by for d in name_decisions(RuleIndex(rules).covering(API), made.host("api.test").handling) if d.refused_by]
    assert [found] == decided or (found is None and not decided)
    return found.name if found else None


def test_a_conditional_bypass_admits_where_somebody_looks_inside() -> None:
    made = plan(*RULES)
    assert made.host("api.test").handling is Handling.INTERCEPT
    assert refused(made) is None


def test_a_conditional_bypass_does_not_lift_a_block_where_tls_passes_through_unread() -> None:
    made = make_plan(plan(*RULES).selection, [API])
    assert made.host("api.test").handling is Handling.PASS
    assert refused(made) == "rest"
