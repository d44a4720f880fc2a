"""Profiles become one Program in one order, whatever order they come in; a broken one keeps what it said before."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.compile import compile_profile, compile_program, profile_ref
from policy.domains import DomainPattern
from policy.program import Identity, Program
from policy.selectors import LabelSelector, Operator, Requirement
from unit_tests.policy.profiles import block, compiled, headers, manifest, model, only_problem, program, rule, token


def order_of(*models):
    return [(profile.ref.namespace, profile.ref.name) for profile in program(*models).profiles]


def test_order_is_priority_then_global_then_namespace_then_name():
    models = [
        model(name="z", priority=5000),
        model(name="b"),
        model(name="a"),
        model(name="c", namespace="another"),
        model(name="y", kind="GlobalSecurityProfile"),
        model(name="x", priority=100),
        model(name="w", kind="GlobalSecurityProfile", priority=99),
    ]
    expected = [("", "w"), ("default", "x"), ("", "y"), ("another", "c"), ("default", "a"), ("default", "b"), ("default", "z")]
    assert order_of(*models) == expected


@given(
    st.permutations([model(rule(block=block()), name=name, priority=priority) for name, priority in [("a", 1000), ("b", 1000), ("c", 500)]])
)
@settings(max_examples=10)
def test_the_order_in_which_profiles_come_in_does_not_matter(models):
    assert compile_program(models) == compile_program(sorted(models, key=lambda each: each.metadata.name))


@pytest.mark.parametrize("priority", [0, 99])
def test_the_first_hundred_priorities_are_for_global_profiles(priority):
    problem = only_problem(priority=priority)
    assert (problem.reason, problem.field) == ("ReservedPriority", "spec.priority")
    assert compiled(priority=priority, kind="GlobalSecurityProfile").priority == priority


def test_a_profile_applies_in_its_own_namespace_and_to_labels_that_its_selector_matches():
    both = program(
        model(name="own", selector={"matchLabels": {"app": "x"}}),
        model(name="everywhere", kind="GlobalSecurityProfile"),
        model(name="other", namespace="other"),
    )
    selected = both.select(Identity(namespace="default", labels=(("app", "x"),)))
    assert [profile.ref.name for profile in selected.profiles] == ["everywhere", "own"]
    assert [profile.ref.name for profile in both.select(Identity(namespace="default")).profiles] == ["everywhere"]


def test_a_selector_keeps_all_its_requirements():
    selector = {"matchLabels": {"app": "x"}, "matchExpressions": [{"key": "t", "operator": "NotIn", "values": ["a", "b"]}]}
    assert compiled(selector=selector).selector == LabelSelector(
        requirements=(
            Requirement(key="app", operator=Operator.IN, values=("x",)),
            Requirement(key="t", operator=Operator.NOT_IN, values=("a", "b")),
        )
    )


def test_a_profile_without_namespace_is_of_the_default_one():
    raw = manifest()
    del raw["metadata"]["namespace"]
    parsed = model().model_copy(update={"metadata": model().metadata.model_copy(update={"namespace": None})})
    assert profile_ref(parsed, default_namespace="team").namespace == "team"
    assert profile_ref(parsed).namespace == "default"


def test_a_broken_profile_is_left_out_and_the_others_stand():
    result = compile_program([model(rule(domains=["a b"]), name="broken"), model(name="fine")])
    assert [profile.ref.name for profile in result.program.profiles] == ["fine"]
    assert [ref.name for ref in result.problems] == ["broken"]


def test_a_profile_that_stops_compiling_keeps_its_last_good_version_in_its_place():
    before = compile_program([model(rule(block=block()), name="p", priority=500), model(name="q")])
    after = compile_program([model(name="q"), model(rule(domains=["a b"]), name="p", priority=2000)], last_good=before.in_force)
    assert after.program == before.program
    assert [problem.reason for problem in next(iter(after.problems.values()))] == ["InvalidDomain"]


def test_a_profile_that_is_gone_does_not_come_back():
    before = compile_program([model(name="p")])
    assert compile_program([], last_good=before.in_force).program == Program()


def test_of_two_profiles_with_one_name_neither_is_in_force():
    result = compile_program([model(rule("a")), model(rule("b")), model(rule("c"))])
    assert result.program == Program()
    assert [problem.reason for problem in next(iter(result.problems.values()))] == ["Duplicate"]


def test_warnings_do_not_keep_a_profile_from_being_in_force():
    result = compile_profile(model(rule(bypass=True, block=block())))
    assert result.profile is not None
    assert not any(problem.fatal for problem in result.problems)


def test_a_rule_is_named_for_logs_in_one_way_only():
    """A slash in a rule's name cannot make it look like another profile's rule."""
    ours = compiled(rule("c"), name="b", namespace="a").rules[0].id
    theirs = compiled(rule("b/c"), name="a", kind="GlobalSecurityProfile").rules[0].id
    assert (ours, theirs) == ("a/b/c", "a/b%2Fc")


def test_a_rule_name_with_control_characters_is_refused():
    problem = only_problem(rule("a\nb"))
    assert (problem.reason, problem.field) == ("InvalidName", "spec.rules[0].name")


def test_annotations_become_host_patterns():
    annotations = {"groyne.dev/allow-escaped-slashes": "Registry.npmjs.org", "groyne.dev/passthrough-domains": "*.bank.test, ::1"}
    profile = compiled(annotations=annotations)
    assert profile.escaped_slash_hosts == (DomainPattern(text="registry.npmjs.org"),)
    assert profile.passthrough_domains == (DomainPattern(text="*.bank.test"), DomainPattern(text="::1"))


def test_a_host_in_an_annotation_that_can_match_nothing_is_a_problem_there():
    problem = only_problem(annotations={"groyne.dev/passthrough-domains": "a.test, 127.1"})
    assert (problem.reason, problem.field) == ("InvalidDomain", 'metadata.annotations["groyne.dev/passthrough-domains"][1]')


def test_a_rule_that_must_see_inside_tls_that_is_passed_through_is_warned_of():
    annotations = {"groyne.dev/passthrough-domains": "*.bank.test"}
    seeing = rule("see", match=[{"domains": ["a.bank.test"], "paths": [{"value": "/x"}]}], block=block())
    blind = rule("blind", domains=["b.bank.test"], block=block())
    writing = rule("write", domains=["c.bank.test"], headerManipulation=headers(a="1"))
    result = compile_profile(model(seeing, blind, writing, annotations=annotations))
    assert [(p.reason, p.field, p.fatal) for p in result.problems] == [
        ("NotInspected", "spec.rules[0]", False),
        ("NotInspected", "spec.rules[2]", False),
    ]


def large(number):
    rules = [
        rule(
            f"r{index}",
            match=[
                {
                    "domains": [f"h{number}-{index}.example.com"],
                    "paths": [{"value": f"/v{index}/"}, {"type": "Regex", "value": f"^/x{number}/[a-z]+{index}"}],
                    "methods": ["GET", "POST"],
                    "headers": [{"name": "X-A", "value": "b"}],
                }
            ],
            **({"headerManipulation": headers(a="1"), "tokenTransformation": token()} if index % 2 else {"block": block()}),
        )
        for index in range(10)
    ]
    return model(*rules, name=f"p{number}")


def test_a_thousand_profiles_of_ten_rules_compile_in_a_blink():
    """Two seconds are promised for a thousand; here a tenth of them, with room for a busy machine."""
    models = [large(number) for number in range(100)]
    started = time.process_time()
    assert len(compile_program(models).program.profiles) == 100
    assert time.process_time() - started < 1
