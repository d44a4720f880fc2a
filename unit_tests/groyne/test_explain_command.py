"""How explanations are printed: one answer a line for JSON lines, and text that no request can turn into terminal commands."""

import json

import pytest

from groyne.explain import Explainer
from groyne.explain_command import explain_lines, explain_one
from groyne.explain_input import parse_request
from groyne.output import Exit, Output
from groyne.resolve_option import parse_pins
from unit_tests.groyne.written import VALUE, workspace
from unit_tests.policy.profiles import block, headers, rule, token

RULES = (
    rule("key", match=[{"domains": ["api.test"]}], tokenTransformation=token(), headerManipulation=headers("x-old")),
    rule("known", match=[{"domains": ["api.test"]}], bypass=True),
    rule("nothing-else", block=block(403, "no\n")),
)


@pytest.fixture
def explainer(tmp_path):
    return Explainer(workspace(tmp_path, *RULES), parse_pins([]))


def lines(*authorities):
    return [json.dumps({"authority": authority}) for authority in authorities]


def test_each_line_is_answered_by_one_line_in_its_place(explainer, capsys):
    code = explain_lines(explainer, lines("api.test", "evil.test", "api.test"), reveal=False)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["verdict"] for answer in answers] == ["bypassed", "blocked", "bypassed"]
    assert code is Exit.REFUSED


def test_all_allowed_is_success(explainer, capsys):
    assert explain_lines(explainer, lines("api.test"), reveal=False) is Exit.OK
    assert VALUE not in capsys.readouterr().out


def test_a_line_that_is_no_request_has_its_own_answer_and_stops_no_other(explainer, capsys):
    code = explain_lines(explainer, ["nonsense", *lines("api.test"), "", *lines("evil.test")], reveal=False)
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["error"].startswith("not JSON")
    assert (second["verdict"], third["verdict"]) == ("bypassed", "blocked")
    assert code is Exit.USAGE


def test_answers_are_ascii_whatever_the_request_holds(explainer, capsys):
    explain_lines(explainer, [json.dumps({"authority": "api.test", "path": "/\udcff\u2028é"})], reveal=False)
    assert capsys.readouterr().out.isascii()


def test_text_says_what_becomes_of_the_request(explainer, capsys):
    code = explain_one(explainer, parse_request("GET https://api.test/a", ()), Output.TEXT, reveal=False)
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == ["GET https://api.test/a", "bypassed"]
    assert "  set authorization: ***" in out
    assert "  remove x-old" in out
    assert "TLS: intercepted, because of default/p/key" in out
    assert any(line.startswith("default/p/known ") and "yes" in line for line in out)
    assert code is Exit.OK


def test_text_says_how_a_refusal_looks(explainer, capsys):
    code = explain_one(explainer, parse_request("CONNECT evil.test:443", ()), Output.TEXT, reveal=False)
    out = capsys.readouterr().out.splitlines()
    assert out[:4] == ["CONNECT evil.test:443", "blocked with 403 (Blocked)", "  body: no\\n", "TLS: not intercepted"]
    assert code is Exit.REFUSED


def test_text_says_what_is_malformed(explainer, capsys):
    explain_one(explainer, parse_request("GET http://user@api.test/", ()), Output.TEXT, reveal=False)
    assert "blocked with 400 (MalformedHost: the Host names no host and port)" in capsys.readouterr().out


def test_json_is_one_object(explainer, capsys):
    explain_one(explainer, parse_request("GET https://api.test/", ()), Output.JSON, reveal=True)
    assert json.loads(capsys.readouterr().out)["setHeaders"]["authorization"] == f"Bearer {VALUE}"


def test_nothing_in_a_request_steers_a_terminal(explainer, capsys):
    raw = parse_request("GET http://api.test/\x1b]0;gone\x07?[bold]:smile:", ["x: \x1b[2J"])
    explain_one(explainer, raw, Output.TEXT, reveal=False)
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert "[bold]:smile:" in out
