"""Why a rule matched: the conditions that held, in the rule's words."""

from policy.criteria import matched_criteria
from policy.normalise import normalise
from unit_tests.policy.profiles import compiled, rule
from unit_tests.policy.requests import raw


def criteria(match, path="/", authority="h.test", **request):
    profile = compiled(rule(match=match))
    return matched_criteria(profile.rules[0], normalise(raw(path, authority, **request)))


def test_of_alternatives_those_that_hold_and_of_all_conditions_each():
    match = {
        "domains": ["*.test", "other.test", "h.test"], "methods": ["GET", "POST"], "schemes": ["https"],
        "paths": [{"type": "Prefix", "value": "/x"}, {"type": "Regex", "value": "v[0-9]"}],
        "headers": [{"name": "X-A", "value": "1"}], "queryParams": [{"name": "q", "type": "Prefix", "value": "é"}],
    }  # fmt: skip
    assert criteria([{"domains": ["no.test"]}, match], "/v1?q=%C3%A9x", scheme="https", headers=(("x-a", "1"),)) == [
        "host *.test", "host h.test", "scheme https", "method GET", "path regex v[0-9]", "header x-a exact 1", "query parameter q prefix é",
    ]  # fmt: skip


def test_what_did_not_match_has_no_reasons():
    assert criteria([{"domains": ["no.test"]}]) == []
