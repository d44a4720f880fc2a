"""Judging by host and port alone: the same decision as Envoy's configuration, with words for every rule on the way."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane.compile import make_plan
from dataplane.interception import Handling, refused_by_name
from groyne.explain_name import judged_by_name
from policy.verdict import Outcome
from unit_tests.policy.profiles import block, headers, rule, selection

PATH = [{"type": "Prefix", "value": "/x"}]


def match(*domains, **more):
    return [{"domains": list(domains) or ["*"], **more}]


def judged(*rules, host="h.test", port=443, annotations=None):
    chosen = selection(*rules, annotations=annotations)
    return judged_by_name(chosen, host, port, make_plan(chosen).host(host).handling)


def traced(verdict):
    return [(trace.rule, trace.matched, trace.acted) for trace in verdict.rules]


def test_without_a_rule_the_tunnel_is_passed():
    assert judged().outcome is Outcome.PASSTHROUGH


def test_a_block_by_name_refuses_with_its_own_words():
    found = judged(rule("no", match=match("h.test"), block=block(451, "never")))
    assert (found.outcome, found.status, found.body, found.decided_by) == (Outcome.BLOCKED, 451, "never", "default/p/no")
    assert found.rules[0].why == "block: refused with 451"


def test_a_refused_tunnel_never_looks_like_a_tunnel():
    """A CONNECT answered with 2xx has a tunnel, as its client sees it."""
    found = judged(rule("no", match=match("h.test"), block=block(200, "a page")))
    assert (found.status, found.body) == (403, "a page")


def test_a_bypass_by_name_ends_it():
    found = judged(rule("yes", match=match("h.test"), bypass=True), rule("no", block=block()))
    assert (found.outcome, found.decided_by) == (Outcome.BYPASSED, "default/p/yes")
    assert traced(found) == [("yes", True, True)]


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ({"domains": ["other.test"]}, "host h.test is none of other.test"),
        ({"ports": [8443]}, "port 443 is none of 8443"),
        ({"schemes": ["http"]}, "scheme https is none of http"),
    ],
)
def test_a_rule_that_cannot_hold_says_why(conditions, why):
    found = judged(rule("no", match=[{"domains": ["*"], **conditions}], block=block()))
    assert (found.outcome, found.rules[0].why, found.rules[0].matched) == (Outcome.PASSTHROUGH, why, False)


def test_what_needs_more_than_the_name_is_judged_inside():
    found = judged(rule("path", match=match("h.test", paths=PATH), block=block()), rule("head", domains=["h.test"],
                   headerManipulation=headers(a="1")))  # fmt: skip
    assert found.outcome is Outcome.PASSTHROUGH
    assert {trace.why for trace in found.rules} == {"needs more than host and port: judged inside the tunnel"}


def test_what_needs_more_is_unread_where_tls_is_passed_through():
    path = rule("path", match=match("h.test", paths=PATH), block=block())
    found = judged(path, annotations={"groyne.dev/passthrough-domains": "h.test"})
    assert found.outcome is Outcome.PASSTHROUGH
    assert "passed through unread" in found.rules[0].why


def test_what_no_certificate_can_name_is_refused():
    found = judged(rule("path", match=match("*", paths=PATH), block=block()))
    assert (found.outcome, found.status, found.reason) == (Outcome.BLOCKED, 403, "InterceptionUnavailable")
    assert "no certificate can name" in found.rules[0].why


def test_a_block_behind_a_conditional_bypass_waits_for_the_inside():
    found = judged(rule("some", match=match("h.test", paths=PATH), bypass=True), rule("rest", match=match("h.test"), block=block()))
    assert found.outcome is Outcome.PASSTHROUGH
    assert traced(found) == [("some", False, False), ("rest", True, False)]
    assert "an earlier bypass may still let the request through" in found.rules[1].why


def test_a_conditional_bypass_holds_nothing_up_where_nobody_looks_inside():
    some = rule("some", match=match("h.test", paths=PATH), bypass=True)
    found = judged(some, rule("rest", match=match("h.test"), block=block()), annotations={"groyne.dev/passthrough-domains": "h.test"})
    assert (found.outcome, found.decided_by) == (Outcome.BLOCKED, "default/p/rest")


DOMAINS = st.lists(st.sampled_from(["*", "*.test", "h.test", "other.test"]), min_size=1, max_size=2, unique=True)
ENTRIES = st.builds(
    lambda domains, **more: {"domains": domains, **{name: value for name, value in more.items() if value}},
    DOMAINS,
    paths=st.sampled_from([[], PATH]),
    ports=st.sampled_from([[], [443], [8443]]),
    schemes=st.sampled_from([[], ["http"], ["https"]]),
    methods=st.sampled_from([[], ["GET"]]),
)
ACTIONS = st.sampled_from([{"bypass": True}, {"block": block()}, {"block": block(204)}, {"headerManipulation": headers(a="1")}])
RULES = st.lists(st.tuples(st.lists(ENTRIES, min_size=1, max_size=2), ACTIONS), max_size=5)


@settings(max_examples=150, deadline=None)
@given(written=RULES, host=st.sampled_from(["h.test", "a.h.test", "elsewhere.example"]), port=st.sampled_from([443, 8443]))
def test_the_decision_is_the_configurations(written, host, port):
    """For any rules: refused by the same rule as Envoy is told, and the rules tried end with the one that decides."""
    chosen = selection(*(rule(f"r{number}", match=entries, **actions) for number, (entries, actions) in enumerate(written)))
    handling = make_plan(chosen).host(host).handling
    found = judged_by_name(chosen, host, port, handling)
    refusing = refused_by_name(chosen.rules, host, port, handling)
    assert (found.outcome is Outcome.BLOCKED) == (refusing is not None or handling is Handling.REFUSE)
    if refusing:
        assert found.decided_by == refusing.id
        assert found.rules[-1].rule == refusing.name
    assert not any(trace.acted for trace in found.rules[:-1])
    assert len(found.rules) == len(chosen.rules) or found.rules[-1].acted
