"""Header changes as slots: played out filter by filter they leave what the rules in order would, however they read each other."""

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane import names
from dataplane.hosts import HostRule
from dataplane.matching import rule_condition
from dataplane.mutations import Acting, TooManySlotsError, chunks, groups, reading_order, slot_plan
from dataplane.secrets import Layout
from policy.domains import DomainPattern
from policy.evaluate import evaluate
from policy.program import (
    HeaderManipulation,
    Match,
    NamedMatch,
    Profile,
    ProfileRef,
    Rule,
    SecretKeyRef,
    Selection,
    TokenTransformation,
    ValueTemplate,
)
from policy.request import RawRequest
from policy.selectors import LabelSelector
from policy.strings import MatchKind, StringMatch
from unit_tests.dataplane.reading import picked

LAYOUT = Layout(directory="/run")
REF = ProfileRef(kind="SecurityProfile", namespace="default", name="p")
SECRET = SecretKeyRef(namespace="default", name="s", key="apiKey")
HEADERS = ("a", "b", "c", "d")
VALUES = st.sampled_from(["1", "2", ""])


def conditions(name: str) -> st.SearchStrategy[NamedMatch]:
    return st.builds(NamedMatch, name=st.just(name), match=st.builds(StringMatch, kind=st.just(MatchKind.EXACT), value=VALUES))


@st.composite
def rules(draw: st.DrawFn, index: int) -> Rule:
    read = draw(st.lists(st.sampled_from(HEADERS).flatmap(conditions), max_size=2))
    written = draw(st.permutations(HEADERS))[: draw(st.integers(1, 3))]
    cut = draw(st.integers(0, len(written)))
    change = HeaderManipulation(set=tuple((name, draw(VALUES)) for name in written[:cut]), remove=tuple(written[cut:]))
    token = TokenTransformation(secret=SECRET, target_header=draw(st.sampled_from(HEADERS)), template=ValueTemplate(parts=("t-", None)))
    kind = draw(st.sampled_from(["headers", "token", "both"]))
    return Rule(
        profile=REF, name=f"r{index}", index=index, match=(Match(domains=(DomainPattern(text="*"),), headers=tuple(read)),),
        headers=change if kind != "token" else None, token=token if kind != "headers" else None,
    )  # fmt: skip


PROGRAMS = st.integers(1, 6).flatmap(lambda count: st.tuples(*(rules(index) for index in range(count))))
REQUESTS = st.dictionaries(st.sampled_from(HEADERS), VALUES)


def acting(program: tuple[Rule, ...]) -> list[Acting]:
    found = [HostRule(rule=rule, entries=rule.match) for rule in program]
    return [Acting(host_rule=each, condition=rule_condition(each, "http")) for each in found]


def played(program: tuple[Rule, ...], request: dict[str, str]) -> dict[str, str]:
    """What Envoy's filters, one after the other, leave of the request's headers."""
    plan = slot_plan(acting(program), LAYOUT)
    headers = {":method": "GET", **request}
    for position in range(len(plan.per_filter)):
        action = picked(plan.per_filter[names.slot(position)]["matcher"], headers)
        for filter_ in filters_of(action["typed_config"]) if action else ():
            carry_out(filter_["typed_config"], headers)
    return {name: value for name, value in headers.items() if name not in {":method", *plan.internal_headers}}


def filters_of(action: dict[str, Any]) -> list[dict[str, Any]]:
    return action["filter_chain"]["typed_config"] if "filter_chain" in action else [action["typed_config"]]


def carry_out(filter_: dict[str, Any], headers: dict[str, str]) -> None:
    if "credential" in filter_:
        headers[filter_["credential"]["typed_config"]["header"]] = "t-secret"
        return
    for mutation in filter_["mutations"]["request_mutations"]:
        if "remove" in mutation:
            headers.pop(mutation["remove"], None)
        else:
            headers[mutation["append"]["header"]["key"]] = mutation["append"]["header"]["value"]


def evaluated(program: tuple[Rule, ...], request: dict[str, str]) -> dict[str, str]:
    selection = Selection(profiles=(Profile(ref=REF, selector=LabelSelector(), rules=program),))
    raw = RawRequest(method="GET", scheme="http", authority="h.test", path="/", headers=tuple(request.items()))
    verdict = evaluate(selection, raw, credentials={SECRET: "secret"})
    changed = {**request, **dict(verdict.set_headers)}
    return {name: value for name, value in changed.items() if name not in verdict.remove_headers}


@settings(max_examples=100)
@given(PROGRAMS, REQUESTS, st.sampled_from([3, 64]))
def test_slots_in_a_row_do_what_the_rules_say(program, request, slots):
    """Conditions read the request as it arrived, the last write wins, with a slot for each group or with few to share."""
    with patch.object(names, "SLOTS", slots):
        try:
            left = played(program, request)
        except TooManySlotsError:
            return
    assert left == evaluated(program, request)


@given(PROGRAMS)
def test_no_group_reads_what_one_before_it_wrote(program):
    """What cannot be ordered that way is told apart, and is really circular."""
    ordered, circular = reading_order(groups(acting(program)))
    for position, group in enumerate(ordered):
        assert not any(earlier.written & group.reads for earlier in ordered[:position])
    for group in circular:
        assert any(group.written & other.reads for other in circular if other is not group)


@given(PROGRAMS, st.sampled_from([1, 4, 16, 64]))
def test_chunks_keep_order_and_bounds(program, most):
    """Every group is in one chunk, and a chunk of several has no more outcomes than it may."""
    found = groups(acting(program))
    made = chunks(found, most)
    assert [group for chunk in made for group in chunk] == found
    for chunk in (each for each in made if len(each) > 1):
        outcomes = 1
        for group in chunk:
            outcomes *= len(group.steps) + 1
        assert outcomes <= most


def writer(number: int) -> Rule:
    condition = NamedMatch(name=f"in-{number}", match=StringMatch(kind=MatchKind.EXACT, value="1"))
    entry = Match(domains=(DomainPattern(text="*"),), headers=(condition,))
    change = HeaderManipulation(set=((f"out-{number}", "1"),))
    return Rule(profile=REF, name=f"r{number}", index=number, match=(entry,), headers=change)


def test_more_groups_than_slots_share_them():
    """Two hundred rules that each write a header of their own fit, and act."""
    program = tuple(writer(number) for number in range(200))
    assert played(program, {"in-7": "1", "in-199": "1"}) == {"in-7": "1", "in-199": "1", "out-7": "1", "out-199": "1"}


def test_what_does_not_fit_is_an_error():
    """Nothing is done by halves."""
    with pytest.raises(TooManySlotsError):
        slot_plan(acting(tuple(writer(number) for number in range(500))), LAYOUT)


def test_the_action_names_every_rule_that_acted():
    """One a line, so that the audit can tell them apart."""
    with patch.object(names, "SLOTS", 1):
        plan = slot_plan(acting((writer(1), writer(2))), LAYOUT)
    action = picked(plan.per_filter[names.slot(0)]["matcher"], {"in-1": "1", "in-2": "1"})
    assert action["name"].split("\n") == ["headers:default/p/r1", "headers:default/p/r2"]


def test_an_unconditional_write_makes_earlier_ones_needless():
    """What a later rule writes in any case is all that a slot has to know."""
    change = HeaderManipulation(set=(("out-1", "2"),))
    always = Rule(profile=REF, name="always", index=1, match=(Match(domains=(DomainPattern(text="*"),)),), headers=change)
    [group] = groups(acting((writer(1), always)))
    assert [step.rule.name for step in group.steps] == ["always"]
