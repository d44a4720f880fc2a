"""What does not fit is known from the plan alone."""

import math

import pytest

from dataplane import limits
from dataplane.compile import Plan
from dataplane.limits import policy_size, too_many_slots
from dataplane.mutations import LEAVES
from dataplane.names import SLOTS
from unit_tests.dataplane.policies import block, bypass, plan, rule

ROOM = SLOTS * int(math.log2(max(LEAVES)))
"""Rules that each change a header of their own under a condition of their own."""


def stamps(number: int, *, schemes: tuple[str, ...] = ()) -> Plan:
    def one(n: int) -> dict[str, object]:
        actions = {"headerManipulation": {"set": [{"name": f"x-{n}", "value": "1"}]}}
        return rule(f"stamp{n}", "api.test", actions=actions, paths=[{"value": f"/{n}"}], schemes=list(schemes))

    return plan(*(one(n) for n in range(number)))


def overfull(made: Plan) -> list[tuple[str, str, str]]:
    return [(found.host.pattern.text, found.scheme, found.last.name) for found in too_many_slots(made)]


def test_as_many_rules_as_there_is_room_for_fit() -> None:
    assert overfull(stamps(ROOM)) == []


def test_one_more_is_too_many_by_http_and_inside_tls() -> None:
    assert overfull(stamps(ROOM + 1)) == [("api.test", "http", f"stamp{ROOM}"), ("api.test", "https", f"stamp{ROOM}")]


def test_a_scheme_that_no_rule_speaks_of_has_room() -> None:
    assert overfull(stamps(ROOM + 1, schemes=("http",))) == [("api.test", "http", f"stamp{ROOM}")]


@pytest.mark.parametrize(
    ("rules", "size"),
    [
        ((block("one", "api.test"),), 1),
        ((block("all", "*"), block("one", "api.test")), 3),
        ((block("all", "*", paths=[{"value": "/a"}, {"value": "/b"}], methods=["GET"]), block("one", "api.test")), 7),
    ],
)
def test_each_host_counts_the_conditions_of_the_rules_that_cover_it(rules: tuple[dict[str, object], ...], size: int) -> None:
    assert policy_size(plan(*rules)) == size


def test_header_changes_count_for_each_way_out() -> None:
    stamp = rule("stamp", "api.test", actions={"headerManipulation": {"set": [{"name": "x-1", "value": "1"}]}})
    once = policy_size(plan(stamp))
    twice = policy_size(plan(stamp, bypass("known", "api.test", paths=[{"value": "/a"}])))
    assert (once, twice) == (1, 3)


def test_a_thousand_hosts_of_their_own_are_far_from_the_limit() -> None:
    assert policy_size(plan(*(block(f"r{n}", f"h{n}.test") for n in range(1000)))) == 1000 < limits.LARGEST / 10


def test_header_changes_that_share_slots_count_for_what_they_are_written_out_to() -> None:
    sizes = [policy_size(stamps(number)) for number in (SLOTS, SLOTS + 1, 2 * SLOTS + 1, 4 * SLOTS + 1)]
    assert sizes == [SLOTS, 2 * (SLOTS + 1), 6 * (2 * SLOTS + 1), 22 * (4 * SLOTS + 1)]
