"""Conditions compile to values in one spelling; what could never hold is a problem at its place."""

import pytest

from policy.domains import DomainPattern
from policy.program import Match, NamedMatch, PathPattern
from policy.strings import MatchKind, StringMatch
from unit_tests.policy.profiles import block, compiled, only_problem, problems, rule


def entry(**more):
    return {"domains": ["h.test"], **more}


def match_of(**more):
    return compiled(rule(match=[entry(**more)], block=block())).rules[0].match[0]


def test_every_dimension_compiles():
    seen = match_of(
        domains=["H.test.", "h.test", "*.x.test"],
        paths=[{"value": "/v1"}, {"type": "Exact", "value": "/é".replace("é", "%C3%A9")}, {"type": "Regex", "value": "a|b"}],
        methods=["GET", "POST", "GET"],
        ports=[443, 443, 8443],
        schemes=["HTTPS", "https"],
        headers=[{"name": "X-Role", "value": "é"}],
        queryParams=[{"name": "Service", "type": "Prefix", "value": "git"}],
    )
    assert seen == Match(
        domains=(DomainPattern(text="h.test"), DomainPattern(text="*.x.test")),
        paths=(
            PathPattern(match=StringMatch(kind=MatchKind.PREFIX, value="/v1")),
            PathPattern(match=StringMatch(kind=MatchKind.EXACT, value="/%C3%A9")),
            PathPattern(match=StringMatch(kind=MatchKind.REGEX, value="a|b")),
        ),
        methods=("GET", "POST"),
        ports=(443, 8443),
        schemes=("https",),
        headers=(NamedMatch(name="x-role", match=StringMatch(kind=MatchKind.EXACT, value="\xc3\xa9")),),
        query=(NamedMatch(name="Service", match=StringMatch(kind=MatchKind.PREFIX, value="git")),),
    )


def test_every_problem_is_found_at_once_with_its_place():
    wrong = rule(
        match=[
            entry(),
            entry(
                domains=["ok.test", "api.*.com"],
                paths=[{"value": "/ok"}, {"value": "/a/../b"}, {"type": "Regex", "value": "("}],
                schemes=["https", "ws"],
                headers=[{"name": "x-envoy-foo", "value": "1"}, {"name": "a", "type": "Regex", "value": "["}],
                queryParams=[{"name": "a", "type": "Regex", "value": "*"}],
            ),
        ],
        block=block(),
    )
    assert problems(rule("first"), wrong) == [
        ("InvalidDomain", "spec.rules[1].match[1].domains[1]"),
        ("InvalidPath", "spec.rules[1].match[1].paths[1].value"),
        ("InvalidRegex", "spec.rules[1].match[1].paths[2].value"),
        ("InvalidScheme", "spec.rules[1].match[1].schemes[1]"),
        ("ReservedHeader", "spec.rules[1].match[1].headers[0].name"),
        ("InvalidRegex", "spec.rules[1].match[1].headers[1].value"),
        ("InvalidRegex", "spec.rules[1].match[1].queryParams[0].value"),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "X-Envoy-Internal",
        "x-groyne-path",
        "x-forwarded-proto",
        "x-request-id",
        "connection",
        "te",
        "transfer-encoding",
        "Expect",
        "upgrade",
    ],
)
def test_headers_that_the_proxy_writes_or_keeps_cannot_be_conditions(name):
    assert only_problem(rule(match=[entry(headers=[{"name": name, "value": "x"}])])).reason == "ReservedHeader"


def test_the_host_header_can_be_a_condition():
    assert match_of(headers=[{"name": "Host", "value": "h.test:8443"}]).headers[0].name == "host"


def test_a_path_with_an_escaped_slash_is_only_warned_of():
    problem = only_problem(rule(match=[entry(paths=[{"value": "/@scope%2fx"}])]))
    assert (problem.reason, problem.fatal, problem.field) == ("UnreachablePath", False, "spec.rules[0].match[0].paths[0].value")


def test_only_conditions_beyond_host_port_and_scheme_need_the_request():
    assert not match_of(ports=[443], schemes=["https"]).needs_request
    assert match_of(methods=["GET"]).needs_request
