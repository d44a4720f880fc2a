"""The ledger knows of which profiles there is something new to say after a template's turn."""

from controller.ledger import Ledger, Outcome
from crds.problem import Problem
from kube.objects import Key
from policy.program import ProfileRef

ONE, TWO = Key("team-a", "one"), Key("team-a", "two")
LIMITS = ProfileRef(kind="SecurityProfile", namespace="team-a", name="limits")
KEYS = ProfileRef(kind="SecurityProfile", namespace="team-a", name="keys")
DONE = Outcome(selected={LIMITS: 1}, written=True)
MISSING = Problem(reason="SecretNotFound", message="there is none", fatal=False)


def test_a_templates_first_outcome_is_news_to_the_profiles_that_it_selects():
    assert Ledger().put(ONE, DONE) == {LIMITS}


def test_the_same_outcome_again_is_no_news():
    ledger = Ledger()
    ledger.put(ONE, DONE)
    assert ledger.put(ONE, Outcome(selected={LIMITS: 1}, written=True, version="another", revision="r")) == frozenset()


def test_a_profile_that_is_no_longer_selected_hears_of_it_too():
    ledger = Ledger()
    ledger.put(ONE, DONE)
    assert ledger.put(ONE, Outcome(selected={KEYS: 1}, written=True)) == {LIMITS, KEYS}
    assert ledger.remove(ONE) == {KEYS}
    assert ledger.remove(ONE) == frozenset()


def test_a_write_a_missing_reference_or_another_generation_is_news():
    for other in (
        Outcome(selected={LIMITS: 1}),
        Outcome(selected={LIMITS: 1}, written=True, unresolved={LIMITS: (MISSING,)}),
        Outcome(selected={LIMITS: 1}, written=True, failures=(MISSING,)),
        Outcome(selected={LIMITS: 2}, written=True),
    ):
        ledger = Ledger()
        ledger.put(ONE, DONE)
        assert ledger.put(ONE, other) == {LIMITS}


def test_all_is_written_when_each_is_also_those_of_which_nothing_is_known():
    ledger = Ledger()
    assert ledger.all_written([])
    assert not ledger.all_written([ONE])
    ledger.put(ONE, DONE)
    assert ledger.all_written([ONE])
    assert not ledger.all_written([ONE, TWO])
    ledger.put(TWO, Outcome())
    assert not ledger.all_written([ONE, TWO])
    ledger.put(TWO, DONE)
    assert ledger.all_written([ONE, TWO])
