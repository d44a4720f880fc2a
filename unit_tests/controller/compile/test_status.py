"""Conditions say what holds, why, and since when; the same facts make the same bytes."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.compile.status import ProfileFacts, profile_status
from crds.conditions import ProfileStatus
from crds.problem import Problem

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BAD = Problem(reason="InvalidRegex", message="write it otherwise", field="spec.rules[1].match[0].paths[0].value")
WARNING = Problem(reason="OrderSensitive", message="the order matters", fatal=False)
MISSING = Problem(reason="SecretNotFound", message="Secret team-a/key is not there", field="spec.rules[0].actions", fatal=False)


def conditions(old=(), now=NOW, **facts):
    status = profile_status(ProfileFacts(generation=3, rules=("first", "second"), **facts), old, now=now)
    ProfileStatus.model_validate(status)
    return {condition["type"]: condition for condition in status["conditions"]}


def outline(found):
    return {kind: (condition["status"], condition["reason"]) for kind, condition in found.items()}


def test_all_is_well():
    """Three conditions, all true, with the generation they speak of."""
    found = conditions(templates=2, programmed=2)
    assert outline(found) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Programmed": ("True", "Distributed"),
    }
    assert {condition["observedGeneration"] for condition in found.values()} == {3}
    assert "2 SandboxTemplates" in found["Programmed"]["message"]


def test_a_profile_that_does_not_compile():
    """Accepted has the first problem's reason and names rule and field; what stays in force is said."""
    found = conditions(problems=(WARNING, BAD), last_good_in_force=True, templates=1, programmed=1)
    assert outline(found)["Accepted"] == ("False", "InvalidRegex")
    assert outline(found)["Programmed"] == ("False", "NotAccepted")
    message = found["Accepted"]["message"]
    assert "rule second, spec.rules[1].match[0].paths[0].value: write it otherwise" in message
    assert "stays in force" in message
    assert "stays in force" not in conditions(problems=(BAD,))["Accepted"]["message"]


def test_warnings_do_not_refuse():
    """An order that matters is a reason of its own, and still accepted."""
    assert outline(conditions(problems=(WARNING,)))["Accepted"] == ("True", "OrderSensitive")
    other = Problem(reason="UnusedToken", message="never used", fatal=False)
    found = conditions(problems=(other,))["Accepted"]
    assert (found["status"], found["reason"], found["message"]) == ("True", "Accepted", "never used")


def test_a_missing_secret():
    """The profile is accepted all the same."""
    found = outline(conditions(unresolved=(MISSING,)))
    assert (found["Accepted"], found["ResolvedRefs"]) == (("True", "Accepted"), ("False", "SecretNotFound"))


def test_not_yet_written_everywhere():
    """Pending, with the counts."""
    found = conditions(templates=3, programmed=2)["Programmed"]
    assert (found["status"], found["reason"], found["message"]) == ("False", "Pending", "written for 2 of 3 SandboxTemplates")


def test_nothing_selected_is_said():
    """A selector with a slip of the keyboard shows here."""
    assert conditions()["Programmed"]["message"] == "selects no SandboxTemplate"


def test_time_moves_with_the_status_only():
    """Another message, reason or generation keeps the time; another status takes the new one."""
    before = conditions(templates=1, programmed=1)
    later = NOW + timedelta(hours=1)
    after = conditions(list(before.values()), later, problems=(WARNING,), unresolved=(MISSING,), templates=1, programmed=1)
    assert after["Accepted"]["lastTransitionTime"] == before["Accepted"]["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert after["ResolvedRefs"]["lastTransitionTime"] == "2026-01-01T13:00:00Z"


def test_same_facts_same_bytes():
    """No write on a second look, whatever the clock says."""
    facts = ProfileFacts(generation=1, problems=(BAD,), templates=1)
    first = profile_status(facts, [], now=NOW)
    assert profile_status(facts, first["conditions"], now=NOW + timedelta(days=9)) == first


def test_conditions_of_others_stay():
    """Another writer's condition is carried along, untouched."""
    theirs = {"type": "example.com/Audited", "status": "True", "reason": "Yes", "message": "", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    assert conditions([theirs])["example.com/Audited"] == theirs


@pytest.mark.parametrize(
    "old", [[{}], [{"type": None}], [{"type": "Accepted"}], [{"type": "Accepted", "status": "True", "lastTransitionTime": None}]]
)
def test_conditions_that_bypassed_admission(old):
    """Whatever stood there, ours are complete."""
    found = [
        condition for condition in profile_status(ProfileFacts(generation=None), old, now=NOW)["conditions"] if condition.get("reason")
    ]
    assert [condition["type"] for condition in found] == ["Accepted", "ResolvedRefs", "Programmed"]
    assert all(condition["lastTransitionTime"] for condition in found)


def test_a_thousand_problems_fit():
    """The message is cut at a sentence count, and never longer than the API allows."""
    many = tuple(Problem(reason="InvalidPath", message="x" * 3000, field=f"spec.rules[{index}]") for index in range(1000))
    message = conditions(problems=many)["Accepted"]["message"]
    assert len(message) <= 32768
    few = tuple(Problem(reason="InvalidPath", message="x", field=f"spec.rules[{index}]") for index in range(30))
    assert conditions(problems=few)["Accepted"]["message"].endswith("and 10 more")
