"""What does not fit is said before anything is started, at the rule to change."""

import pytest

from groyne import limit_problems
from groyne.check import check
from groyne.explain import Explainer
from groyne.explain_input import parse_request
from groyne.output import Exit, Output
from groyne.resolve_option import parse_pins
from unit_tests.dataplane.test_limits import ROOM
from unit_tests.groyne.written import read, reasons, workspace, write
from unit_tests.policy.profiles import block, headers, manifest, rule

OTHERS = [
    rule(
        f"r{n}",
        match=[{"domains": ["api.test"], "methods": ["GET"], "paths": [{"value": f"/{n}"}]}],
        headerManipulation=headers(**{f"x_{n}": "1"}),
    )
    for n in range(ROOM + 1)
]
WIDE = rule("wide", block=block())
HOSTS = rule("hosts", ("a.test", "b.test"), block=block())


@pytest.fixture
def room_for(monkeypatch):
    return lambda size: monkeypatch.setattr(limit_problems, "LARGEST", size)


def test_more_header_rules_than_slots_are_said_where_the_last_stands(tmp_path):
    found = workspace(tmp_path, *OTHERS, key=False)
    assert reasons(found.problems) == ["TooManyHeaderRules"]
    assert found.problems[0].problem.field == f"spec.rules[{ROOM}]"
    assert "`api.test`" in found.problems[0].problem.message
    assert not found.broken


def test_check_fails_for_them_whoever_is_selected(tmp_path, capsys):
    write(tmp_path, manifest(*OTHERS, namespace="team", selector={"matchLabels": {"app": "x"}}))
    assert check(tmp_path, Output.JSON) is Exit.PROBLEMS
    assert '"TooManyHeaderRules"' in capsys.readouterr().out


def test_check_does_not_add_up_what_no_pod_has_at_once(tmp_path, capsys):
    half = len(OTHERS) // 2
    parts = {"a": OTHERS[:half], "b": OTHERS[half:]}
    write(tmp_path, *(manifest(*rules, name=name, selector={"matchLabels": {"app": name}}) for name, rules in parts.items()))
    assert check(tmp_path, Output.JSON) is Exit.OK
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("url", ["http://api.test/0", "https://api.test/", "https://api.test/7"])
def test_explain_says_what_the_client_gets(tmp_path, url):
    explainer = Explainer(workspace(tmp_path, *OTHERS, key=False), parse_pins(()))
    verdict = explainer.explain(parse_request(f"GET {url}", (), "")).verdict
    assert (verdict.outcome.value, verdict.status, verdict.reason) == ("blocked", 503, "TooManyHeaderRules")
    assert explainer.explain(parse_request("GET https://other.test/", (), "")).verdict.outcome.value == "passthrough"


def test_what_fits_is_no_problem(tmp_path, room_for):
    room_for(5)
    assert workspace(tmp_path, WIDE, HOSTS, key=False).problems == ()


def test_a_policy_that_is_too_large_is_an_error_at_its_widest_rule(tmp_path, room_for):
    room_for(4)
    found = workspace(tmp_path, HOSTS, WIDE, key=False)
    assert (reasons(found.problems), found.broken) == (["PolicyTooLarge"], True)
    assert found.problems[0].problem.field == "spec.rules[1]"


def test_an_edit_that_makes_it_too_large_leaves_everything_as_it_was(tmp_path, room_for):
    room_for(4)
    before = workspace(tmp_path, HOSTS, key=False)
    after = read(tmp_path, manifest(HOSTS, WIDE), last_good=before.good)
    assert after.broken
    assert after.selection == before.selection
