"""OrderSensitive: told where order would change a verdict, silent where it cannot."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.compile import compile_program
from policy.evaluate import evaluate
from policy.order import MAX_WARNINGS
from policy.program import Identity
from unit_tests.policy.profiles import block, headers, model, rule, token
from unit_tests.policy.requests import raw

BYPASS = {"bypass": True}
BLOCK = {"block": block()}
MCP = {"mcpToolPolicy": {"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "deny"}]}}


def warned(one, other, **second):
    """Whether two profiles with a rule each are told of one another."""
    result = compile_program([model(one, name="a"), model(other, name=second.pop("name", "b"), **second)])
    found = [problem.reason for problems in result.problems.values() for problem in problems]
    assert found in ([], ["OrderSensitive"] * 2), result.problems
    return bool(found)


@pytest.mark.parametrize(
    ("one", "other", "matters"),
    [
        (BYPASS, BLOCK, True),
        (BYPASS, BYPASS, False),
        (BLOCK, BLOCK, False),
        (BLOCK, {"block": block(451)}, True),
        (BLOCK, {"block": block(403, "x")}, True),
        (BYPASS, {"headerManipulation": headers(a="1")}, True),
        (BLOCK, {"headerManipulation": headers(a="1")}, False),
        (BYPASS, {"tokenTransformation": token()}, True),
        (BYPASS, {}, False),
        (BYPASS, MCP, True),
        (BLOCK, MCP, False),
        ({"block": block(451)}, MCP, True),
        (MCP, MCP, False),
        ({"headerManipulation": headers(a="1")}, {"headerManipulation": headers(a="2")}, True),
        ({"headerManipulation": headers(a="1")}, {"headerManipulation": headers("a")}, True),
        ({"headerManipulation": headers(a="1")}, {"headerManipulation": headers(a="1", b="2")}, False),
        ({"headerManipulation": headers(a="1")}, {"headerManipulation": headers(b="1")}, False),
        ({"headerManipulation": headers(authorization="1")}, {"tokenTransformation": token()}, True),
        ({"tokenTransformation": token("one")}, {"tokenTransformation": token("two")}, True),
        ({"tokenTransformation": token("one")}, {"tokenTransformation": token("one")}, False),
    ],
)
def test_actions_conflict_where_order_decides(one, other, matters):
    assert warned(rule("x", **one), rule("y", **other)) == matters
    assert warned(rule("x", **other), rule("y", **one)) == matters


def entry(**more):
    return [{"domains": ["h.test"], **more}]


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (entry(), entry(domains=["*"]), True),
        (entry(), entry(domains=["*.test"]), True),
        (entry(), entry(domains=["x.test"]), False),
        (entry(domains=["*.a.test"]), entry(domains=["*.test"]), True),
        (entry(domains=["*.a.test"]), entry(domains=["a.test"]), False),
        (entry(ports=[80]), entry(ports=[443]), False),
        (entry(schemes=["http"]), entry(schemes=["https"]), False),
        (entry(methods=["GET"]), entry(methods=["GET", "POST"]), True),
        (entry(methods=["GET"]), entry(methods=["POST"]), False),
        (entry(paths=[{"value": "/a"}]), entry(paths=[{"value": "/b"}]), False),
        (entry(paths=[{"value": "/a"}]), entry(paths=[{"value": "/abc"}]), True),
        (entry(paths=[{"value": "/a"}]), entry(paths=[{"type": "Exact", "value": "/b"}]), False),
        (entry(paths=[{"type": "Regex", "value": "^/b"}]), entry(paths=[{"type": "Exact", "value": "/a"}]), False),
        (entry(paths=[{"type": "Regex", "value": "^/b"}]), entry(paths=[{"value": "/a"}]), True),
        (entry(headers=[{"name": "a", "value": "1"}]), entry(headers=[{"name": "A", "value": "2"}]), False),
        (entry(headers=[{"name": "a", "value": "1"}]), entry(headers=[{"name": "b", "value": "2"}]), True),
        (entry(headers=[{"name": "a", "value": "1"}]), entry(queryParams=[{"name": "a", "value": "2"}]), True),
    ],
)
def test_conditions_meet_unless_they_provably_cannot(one, other, meet):
    assert warned(rule("x", match=one, **BYPASS), rule("y", match=other, **BLOCK)) == meet


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({}, {"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "1"}}, {"matchLabels": {"a": "2"}}, False),
        ({"matchLabels": {"a": "1"}}, {"matchLabels": {"b": "2"}}, True),
        ({"matchLabels": {"a": "1"}}, {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchLabels": {"a": "1"}}, {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "1"}}, {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
    ],
)
def test_selectors_meet_unless_they_provably_cannot(one, other, meet):
    result = compile_program([model(rule(**BYPASS), name="a", selector=one), model(rule(**BLOCK), name="b", selector=other)])
    assert bool(result.problems) == meet


def test_another_priority_or_another_namespace_is_an_order_of_its_own():
    one, other = rule("x", **BYPASS), rule("y", **BLOCK)
    assert not warned(one, other, priority=500)
    assert not warned(one, other, namespace="other")
    assert warned(one, other, kind="GlobalSecurityProfile")


def test_both_profiles_are_told_which_rule_of_the_other_is_meant():
    result = compile_program([model(rule("x"), rule("y", **BYPASS), name="a"), model(rule("z", **BLOCK), name="b")])
    first, second = (problems[0] for problems in result.problems.values())
    assert (first.field, second.field) == ("spec.rules[1]", "spec.rules[0]")
    assert "before rule `z` of SecurityProfile default/b" in first.message
    assert "after rule `y` of SecurityProfile default/a" in second.message
    assert not first.fatal


def test_a_crowd_on_one_host_is_bounded_in_time_and_words():
    models = [model(rule(f"r{n}", **(BYPASS if n % 2 else BLOCK)), name=f"p{n}") for n in range(400)]
    started = time.process_time()
    result = compile_program(models)
    assert time.process_time() - started < 3
    assert result.problems
    assert all(len(problems) <= MAX_WARNINGS for problems in result.problems.values())


ACTIONS = st.sampled_from(
    [{}, BYPASS, BLOCK, {"block": block(451)}, {"headerManipulation": headers(a="1")}, {"headerManipulation": headers("a")}]
)
MATCHES = st.sampled_from(
    [entry(), entry(domains=["*"]), entry(methods=["GET"]), entry(paths=[{"value": "/a"}]), entry(paths=[{"value": "/b"}])]
)


@given(ACTIONS, MATCHES, ACTIONS, MATCHES, st.sampled_from(["GET", "POST"]), st.sampled_from(["/", "/a", "/b"]))
@settings(max_examples=150, deadline=None)
def test_where_it_is_silent_order_changes_nothing(first, where, second, other_where, method, path):
    one, other = rule("x", match=where, **first), rule("y", match=other_where, **second)
    if not warned(one, other):
        answers = []
        for names in (("a", "b"), ("b", "a")):
            models = [model(one, name=names[0]), model(other, name=names[1])]
            seen = evaluate(compile_program(models).program.select(Identity()), raw(path, method=method), credentials={})
            answers.append((seen.outcome, seen.status, seen.body, seen.set_headers, seen.remove_headers))
        assert answers[0] == answers[1]
