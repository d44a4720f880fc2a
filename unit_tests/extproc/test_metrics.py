"""ext-proc's metrics: their names, and labels that nobody outside can choose."""

import asyncio
import re

from prometheus_client import generate_latest

from extproc.metrics import ACTIONS, OTHER, REASONS
from extproc.providers.seam import Failure
from policy.verdict import Outcome
from unit_tests.extproc.desks import POD, Desk, Provider, sources
from unit_tests.extproc.envoy import Arriving, Envoy, Filter
from unit_tests.policy.profiles import block, headers, rule

LINES = ((":method", "GET"), (":scheme", "https"))
RULES = (rule("closed", ["closed.test"], block=block()), rule("writes", headerManipulation=headers("x-gone")))


def asked(desk, host, path="/", attributes=POD):
    lines = (*LINES, (":authority", host), (":path", path))
    return asyncio.run(Envoy(Filter(), Arriving(lines=lines, attributes=attributes)).ask(desk))


def test_names_are_those_of_this_process():
    """Prefixed, so that they meet nobody else's."""
    names = {family.name for family in Desk(sources(*RULES)).registry.collect()}
    assert all(name.startswith(("groyne_", "process_", "python_")) for name in names), names
    assert {"groyne_extproc_requests", "groyne_extproc_decision_seconds", "groyne_extproc_snapshot_age_seconds"} <= names


def test_what_requests_say_makes_no_series():
    """However many hosts, paths and namespaces there are."""
    desk = Desk(sources(*RULES), provider=Provider())

    def series():
        return {re.sub(rb" [^ ]+$", b"", line) for line in generate_latest(desk.registry).splitlines() if not line.startswith(b"#")}

    for host in ("h.test", "closed.test", "bad host", "h.test:x"):
        asked(desk, host)
    asked(desk, "h.test", attributes={})
    before = series()
    for number in range(60):
        asked(desk, f"h{number}.test", f"/{number}")
        asked(desk, f"bad host {number}", f"/{number}")
        asked(desk, "closed.test", attributes=POD | {"filter_state['downstream_peer'].name": f"pod-{number}"})
    assert series() == before
    assert not re.search(rb"h\d+\.test|pod-\d|default/p", generate_latest(desk.registry))


def test_each_request_is_counted_by_its_outcome_and_its_reason():
    """Those that nobody judged too."""
    desk = Desk(sources(*RULES))
    for host in ("h.test", "closed.test", "bad host"):
        asked(desk, host)
    asked(desk, "h.test", attributes={})
    assert desk.value("requests_total", outcome=Outcome.MUTATED.value) == 1
    assert desk.value("requests_total", outcome=Outcome.BLOCKED.value) == 3
    for reason in ("Blocked", "MalformedHost", "IdentityUnknown"):
        assert desk.value("refusals_total", reason=reason) == 1, reason
    assert desk.value("decision_seconds_count") == 3


def test_an_action_is_counted_with_what_became_of_its_request():
    """The same rule writes a header of one request and, where another refuses, of none."""
    desk = Desk(sources(*RULES[::-1]))
    for host in ("h.test", "closed.test", "closed.test"):
        asked(desk, host)
    assert desk.value("actions_total", action="headerManipulation", outcome="mutated") == 1
    assert desk.value("actions_total", action="headerManipulation", outcome="blocked") == 2
    assert desk.value("actions_total", action="block", outcome="blocked") == 2


def test_a_reason_that_nobody_foresaw_is_another():
    """And no label of its own."""
    desk = Desk(sources(*RULES))
    desk._metrics.turned_away("SaidByAClient")
    assert desk.value("refusals_total", reason=OTHER) == 1
    assert "SaidByAClient" not in REASONS


def test_words_are_few():
    """Labels are drawn from these alone."""
    assert len(ACTIONS) + len(REASONS) + len(Failure) + len(Outcome) < 50
