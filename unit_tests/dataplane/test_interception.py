"""What a host's name and port decide where nobody looks inside its TLS."""

from typing import Any

from dataplane.compile import Plan, make_plan
from dataplane.hosts import RuleIndex
from dataplane.interception import Handling, name_decisions, refused_by_name
from policy.domains import DomainPattern
from policy.program import Identity
from unit_tests.dataplane.policies import block, bypass, plan
from unit_tests.policy.profiles import block as refusal
from unit_tests.policy.profiles import headers, model, program, rule

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


def merged(*profiles: Any, template: tuple[DomainPattern, ...] = ()) -> Plan:
    return make_plan(program(*profiles).select(Identity(namespace="default")), template)


NO_DELETE = rule("no-delete", match=[{"domains": ["api.test"], "methods": ["DELETE"]}], block=refusal())
STAMP = rule("stamp", ("api.test",), headerManipulation=headers(x_by="groyne"))
EVERYTHING = {"groyne.dev/passthrough-domains": "*"}


def of_all(*rules: dict[str, Any], **more: Any) -> Any:
    return model(*rules, name="all", kind="GlobalSecurityProfile", priority=1, **more)


def test_a_namespaced_annotation_does_not_switch_off_a_global_rule() -> None:
    host = merged(of_all(NO_DELETE), model(annotations=EVERYTHING)).host("api.test")
    assert (host.handling, host.because) == (Handling.INTERCEPT, ("all/no-delete",))


def test_a_templates_annotation_does_not_either() -> None:
    assert merged(of_all(NO_DELETE), template=(API,)).host("api.test").handling is Handling.INTERCEPT


def test_a_namespaced_annotation_exempts_from_namespaced_rules() -> None:
    host = merged(of_all(rule("no-other", ("other.test",), block=refusal())), model(STAMP, annotations=EVERYTHING)).host("api.test")
    assert (host.handling, host.because, host.unread) == (Handling.PASS, (), ("default/p/stamp",))


def test_a_global_annotation_exempts_from_every_rule() -> None:
    host = merged(of_all(NO_DELETE, annotations=EVERYTHING), model(STAMP)).host("api.test")
    assert (host.handling, host.unread) == (Handling.PASS, ("all/no-delete", "default/p/stamp"))


def test_a_host_that_only_the_annotation_names_stays_under_the_global_rule_that_covers_it() -> None:
    wide = rule("no-delete", match=[{"domains": ["*.test"], "methods": ["DELETE"]}], block=refusal())
    made = merged(of_all(wide), model(annotations={"groyne.dev/passthrough-domains": "api.test"}))
    assert made.host("api.test").pattern == API
    assert made.host("api.test").handling is Handling.INTERCEPT
