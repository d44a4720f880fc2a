"""What a policy means, decision by decision. Every engine must agree with what stands here."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.compile import compile_program
from policy.evaluate import evaluate
from policy.program import Identity, SecretKeyRef
from policy.references import withhold
from policy.verdict import Outcome
from unit_tests.policy.profiles import KEY, block, headers, model, rule, selection, token, verdict
from unit_tests.policy.requests import raw

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_repo"}}'
DENY_DELETE = {"defaultAction": "allow", "rules": [{"method": "tools/call", "toolNames": ["delete_repo"], "action": "deny"}]}
ALLOW_ALL = {"defaultAction": "allow", "rules": [{"method": "tools/call", "action": "allow"}]}
VERSION = ("MCP-Protocol-Version", "2025-06-18")


def set_(**values):
    return {"headerManipulation": headers(**values)}


def acted(found):
    return [trace.rule for trace in found.rules if trace.acted]


def test_without_a_rule_everything_passes():
    assert verdict([]).outcome is Outcome.PASSTHROUGH


def test_malformed_requests_are_refused_before_any_rule():
    found = verdict([rule(bypass=True)], "/a#b")
    assert (found.outcome, found.status, found.reason, found.decided_by, found.rules) == (Outcome.BLOCKED, 400, "MalformedPath", "", ())


def test_a_block_answers_with_its_own_status_and_body():
    found = verdict([rule("no", block=block(451, "not for agents"))])
    assert (found.outcome, found.status, found.body, found.reason) == (Outcome.BLOCKED, 451, "not for agents", "Blocked")
    assert found.decided_by == "default/p/no"


def test_every_matching_rule_acts_until_one_ends_it():
    found = verdict(
        [
            rule("a", **set_(a="1")),
            rule("b", domains=["other.test"], **set_(b="1")),
            rule("c", **set_(c="1")),
            rule("d", bypass=True),
            rule("e", block=block()),
        ]
    )
    assert acted(found) == ["a", "c", "d"]
    assert [trace.matched for trace in found.rules] == [True, False, True, True]


def test_bypass_keeps_the_changes_so_far():
    found = verdict([rule("a", **set_(a="1")), rule("b", bypass=True), rule("c", **set_(a="2"))])
    assert (found.outcome, found.set_headers, found.decided_by) == (Outcome.BYPASSED, (("a", "1"),), "default/p/b")


def test_block_drops_the_changes_so_far():
    found = verdict([rule("a", **set_(a="1")), rule("b", block=block())])
    assert (found.outcome, found.set_headers, found.remove_headers) == (Outcome.BLOCKED, (), ())


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [({"bypass": True}, {"block": block()}, Outcome.BYPASSED), ({"block": block()}, {"bypass": True}, Outcome.BLOCKED)],
)
def test_of_two_terminal_rules_the_first_counts(first, second, outcome):
    assert verdict([rule("a", **first), rule("b", **second)]).outcome is outcome


def test_in_one_rule_bypass_comes_before_block():
    assert verdict([rule(bypass=True, block=block())]).outcome is Outcome.BYPASSED


def test_the_last_writer_of_a_header_wins_and_the_net_effect_is_sorted():
    found = verdict(
        [rule("a", headerManipulation=headers("gone", "back", z="1", a="1")), rule("b", headerManipulation=headers("z", back="2", a="2"))]
    )
    assert found.set_headers == (("a", "2"), ("back", "2"))
    assert found.remove_headers == ("gone", "z")


def test_conditions_read_the_request_as_it_arrived():
    sees = [{"domains": ["*"], "headers": [{"name": "a", "value": "1"}]}]
    assert verdict([rule("write", **set_(a="1")), rule("read", match=sees, block=block())]).outcome is Outcome.MUTATED
    removed = [rule("remove", headerManipulation=headers("a")), rule("read", match=sees, block=block())]
    assert verdict(removed, headers=[("a", "1")]).outcome is Outcome.BLOCKED


def test_changing_nothing_is_a_change_all_the_same():
    assert verdict([rule(**set_(a="1"))], headers=[("a", "1")]).outcome is Outcome.MUTATED
    assert verdict([rule(headerManipulation=headers("absent"))]).outcome is Outcome.MUTATED


def test_an_empty_action_is_no_change():
    found = verdict([rule(headerManipulation=headers())])
    assert (found.outcome, found.rules[0].matched, found.rules[0].acted) == (Outcome.PASSTHROUGH, True, False)


def test_a_credential_is_put_in_and_named_as_secret():
    found = verdict([rule(tokenTransformation=token())], credentials={KEY: "sk-1"})
    assert found.outcome is Outcome.MUTATED
    assert found.set_headers == (("authorization", "Bearer sk-1"),)
    assert found.secret_headers == ("authorization",)
    assert "sk-1" not in str(found.rules)


def test_in_one_rule_the_credential_is_written_after_the_headers():
    both = rule(tokenTransformation=token(), headerManipulation=headers(authorization="literal"))
    assert verdict([both], credentials={KEY: "k"}).set_headers == (("authorization", "Bearer k"),)


def test_a_credential_that_a_later_rule_overwrites_is_gone():
    found = verdict([rule("a", tokenTransformation=token()), rule("b", **set_(authorization="x"))], credentials={KEY: "k"})
    assert (found.set_headers, found.secret_headers) == ((("authorization", "x"),), ())


def test_a_missing_credential_refuses_under_block():
    found = verdict([rule("a", tokenTransformation=token()), rule("b", **set_(a="1"))])
    assert (found.outcome, found.status, found.reason) == (Outcome.BLOCKED, 503, "CredentialUnavailable")
    assert (found.decided_by, found.set_headers) == ("default/p/a", ())


def test_a_missing_credential_refuses_even_if_a_later_rule_writes_its_header():
    assert verdict([rule("a", tokenTransformation=token()), rule("b", **set_(authorization="x"))]).status == 503


def test_a_bypass_does_not_save_a_missing_credential_but_a_block_comes_first():
    missing = rule("a", tokenTransformation=token())
    assert verdict([missing, rule("b", bypass=True)]).status == 503
    assert verdict([rule("b", bypass=True), missing]).outcome is Outcome.BYPASSED
    assert verdict([missing, rule("b", block=block(451))]).status == 451


def test_of_several_missing_credentials_the_first_is_named():
    assert verdict([rule("a", tokenTransformation=token()), rule("b", tokenTransformation=token("x"))]).decided_by == "default/p/a"


@pytest.mark.parametrize("strategy", ["Allow", "Ignore"])
def test_a_missing_credential_is_left_out_under_allow_and_ignore(strategy):
    found = verdict([rule(tokenTransformation=token(fail=strategy))])
    assert (found.outcome, found.set_headers) == (Outcome.PASSTHROUGH, ())


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ([], False),
        ([("X-Ph", "")], False),
        ([("x-ph", "real")], False),
        ([("x-ph", "PH-1")], True),
        ([("x-ph", "a"), ("x-ph", "PH-1")], True),
    ],
)
def test_when_asks_for_a_header_that_is_there_not_empty_and_matches(sent, asked):
    conditional = rule(tokenTransformation=token(when={"header": "X-Ph", "pattern": "PH-.|^$"}))
    assert verdict([conditional], headers=sent, credentials={KEY: "k"}).outcome is (Outcome.MUTATED if asked else Outcome.PASSTHROUGH)
    assert verdict([conditional], headers=sent).outcome is (Outcome.BLOCKED if asked else Outcome.PASSTHROUGH)


def test_when_reads_the_request_as_it_arrived():
    conditional = rule("b", tokenTransformation=token(when={"header": "a", "pattern": "1"}))
    assert verdict([rule("a", **set_(a="1")), conditional], credentials={KEY: "k"}).secret_headers == ()


def test_a_second_rule_may_act_where_when_kept_the_first_from_it():
    first = rule("a", tokenTransformation=token(when={"header": "x", "pattern": "1"}))
    second = rule("b", tokenTransformation=token(template="second {{ .Token }}"))
    assert verdict([first, second], credentials={KEY: "k"}).set_headers == (("authorization", "second k"),)


@pytest.mark.parametrize(("method", "http2"), [("TRACE", False), ("TRACK", True), ("trace", True)])
def test_credentials_are_withheld_from_methods_that_echo_headers(method, http2):
    """Neither put in nor missed: the client's own header stays."""
    for credentials in ({KEY: "k"}, {}):
        found = verdict([rule(tokenTransformation=token())], method=method, http2=http2, credentials=credentials)
        assert (found.outcome, found.set_headers) == (Outcome.PASSTHROUGH, ())
        assert found.rules[0].why == "credential withheld: method echoes headers"


def test_a_disabled_credential_does_nothing():
    assert verdict([rule(tokenTransformation=token(disabled=True))]).outcome is Outcome.PASSTHROUGH


def test_a_withheld_reference_never_has_a_value():
    chosen = selection(rule("a", tokenTransformation=token()))
    refused = withhold(chosen, {"default/p/a": None})
    assert evaluate(refused, raw(), credentials={KEY: "k"}).status == 503
    assert evaluate(chosen, raw(), credentials={KEY: "k"}).outcome is Outcome.MUTATED


def test_a_global_profile_takes_the_credential_of_the_pods_namespace():
    program = compile_program([model(rule(tokenTransformation=token()), kind="GlobalSecurityProfile")]).program
    chosen = program.select(Identity(namespace="team"))
    mine = SecretKeyRef(namespace="team", name="openai", key="apiKey")
    assert evaluate(chosen, raw(), credentials={mine: "team's"}).set_headers == (("authorization", "Bearer team's"),)
    assert evaluate(chosen, raw(), credentials={KEY: "other"}).status == 503


def mcp(*rules, body=CALL, sent=(VERSION,), method="POST"):
    return verdict(list(rules), method=method, body=body, headers=sent)


def test_a_denied_tool_refuses_and_drops_changes():
    policy = DENY_DELETE | {"denyResponse": {"statusCode": 404, "body": "no"}}
    found = mcp(rule("a", **set_(a="1")), rule("b", mcpToolPolicy=policy))
    assert (found.outcome, found.status, found.body, found.reason) == (Outcome.BLOCKED, 404, "no", "ToolDenied")
    assert (found.set_headers, found.decided_by) == ((), "default/p/b")


def test_an_allowed_tool_goes_on_and_the_rules_other_actions_run():
    found = mcp(rule("a", mcpToolPolicy=ALLOW_ALL, **set_(a="1")), rule("b", mcpToolPolicy=DENY_DELETE))
    assert found.status == 403
    assert mcp(rule("a", mcpToolPolicy=ALLOW_ALL, **set_(a="1"))).set_headers == (("a", "1"),)


def test_an_earlier_bypass_saves_a_denied_tool():
    assert mcp(rule("a", bypass=True), rule("b", mcpToolPolicy=DENY_DELETE)).outcome is Outcome.BYPASSED


def test_an_escaped_slash_does_not_evade_a_block():
    """Only blocks look at what the path may be taken for; nothing else is done for it."""
    annotations = {"groyne.dev/allow-escaped-slashes": "h.test"}
    at_admin = [{"domains": ["h.test"], "paths": [{"value": "/a/admin"}]}]
    for path in ("/a%2fadmin", "/a%5Cadmin/x"):
        assert verdict([rule(match=at_admin, block=block())], path, annotations=annotations).outcome is Outcome.BLOCKED
        assert verdict([rule(match=at_admin, **set_(a="1"))], path, annotations=annotations).outcome is Outcome.PASSTHROUGH
        assert verdict([rule(match=at_admin, bypass=True)], path, annotations=annotations).outcome is Outcome.PASSTHROUGH


@pytest.mark.parametrize(
    ("match", "request_", "matches"),
    [
        ({"domains": ["H.TEST"]}, {}, True),
        ({"domains": ["h.test"]}, {"authority": "H.Test.:80"}, True),
        ({"domains": ["*.test"]}, {}, True),
        ({"domains": ["*.h.test"]}, {}, False),
        ({"domains": ["2001:db8:0::1"]}, {"authority": "[2001:DB8::1]:80"}, True),
        ({"domains": ["x.test", "h.test"]}, {}, True),
        ({"domains": ["*"], "ports": [80]}, {}, True),
        ({"domains": ["*"], "ports": [80]}, {"scheme": "https"}, False),
        ({"domains": ["*"], "ports": [443]}, {"scheme": "https"}, True),
        ({"domains": ["*"], "ports": [8443]}, {"authority": "h.test:8443"}, True),
        ({"domains": ["*"], "ports": [80]}, {"authority": "h.test:8080"}, False),
        ({"domains": ["*"], "schemes": ["HTTPS"]}, {"scheme": "https"}, True),
        ({"domains": ["*"], "schemes": ["https"]}, {}, False),
        ({"domains": ["*"], "methods": ["POST"]}, {"method": "POST"}, True),
        ({"domains": ["*"], "methods": ["POST"]}, {"method": "post", "http2": True}, True),
        ({"domains": ["*"], "methods": ["POST", "PUT"]}, {}, False),
        ({"domains": ["*"], "methods": ["CONNECT"]}, {"method": "CONNECT", "path": "h.test:443"}, True),
        ({"domains": ["*"], "paths": [{"value": "/"}]}, {"method": "CONNECT", "path": "h.test:443"}, False),
        ({"domains": ["*"], "paths": [{"type": "Regex", "value": "^$"}]}, {"method": "CONNECT", "path": "h.test:443"}, False),
        ({"domains": ["*"], "paths": [{"value": "/api"}]}, {"path": "/apifoo?x"}, True),
        ({"domains": ["*"], "paths": [{"value": "/admin"}]}, {"path": "/%61dmin"}, True),
        ({"domains": ["*"], "paths": [{"value": "/admin"}]}, {"path": "/x/..;a/./admin/"}, True),
        ({"domains": ["*"], "paths": [{"value": "/admin"}]}, {"path": "/?/admin"}, False),
        ({"domains": ["*"], "paths": [{"value": "/admin"}]}, {"path": "/ADMIN"}, False),
        ({"domains": ["*"], "paths": [{"type": "Exact", "value": "/a"}]}, {"path": "/a?b"}, True),
        ({"domains": ["*"], "paths": [{"type": "Exact", "value": "/a"}]}, {"path": "/a/"}, False),
        ({"domains": ["*"], "paths": [{"type": "Regex", "value": "admin"}]}, {"path": "/v1/admin/x"}, True),
        ({"domains": ["*"], "headers": [{"name": "X", "value": "a"}]}, {"headers": [("x", " a\t")]}, True),
        ({"domains": ["*"], "headers": [{"name": "x", "value": "a"}]}, {"headers": [("x", "a"), ("X", "b")]}, False),
        ({"domains": ["*"], "headers": [{"name": "x", "value": "a,b"}]}, {"headers": [("x", "a"), ("X", "b")]}, True),
        ({"domains": ["*"], "headers": [{"name": "x", "type": "Prefix", "value": "a"}]}, {"headers": [("x", "ab")]}, True),
        ({"domains": ["*"], "headers": [{"name": "x", "type": "Regex", "value": "^$"}]}, {"headers": [("x", "")]}, True),
        ({"domains": ["*"], "headers": [{"name": "x", "type": "Regex", "value": "^$"}]}, {}, False),
        ({"domains": ["*"], "headers": [{"name": "x", "value": "é"}]}, {"headers": [("x", "\xc3\xa9")]}, True),
        ({"domains": ["*"], "headers": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]}, {"headers": [("x", "1")]}, False),
        ({"domains": ["*"], "headers": [{"name": "host", "value": "h.test:80"}]}, {"authority": "h.test.:80"}, True),
        ({"domains": ["*"], "queryParams": [{"name": "a", "value": "é+"}]}, {"path": "/?a=%C3%A9+&a=2"}, True),
        ({"domains": ["*"], "queryParams": [{"name": "a", "type": "Regex", "value": "^$"}]}, {"path": "/?b&a"}, True),
        ({"domains": ["*"], "queryParams": [{"name": "A", "value": "1"}]}, {"path": "/?a=1"}, False),
        (
            {"domains": ["*"], "queryParams": [{"name": "service", "value": "git-receive-pack"}]},
            {"path": "/x?service=git%2Dreceive-pack"},
            True,
        ),
    ],
)
def test_a_condition_means(match, request_, matches):
    path = request_.pop("path", "/")
    found = verdict([rule(match=[match], block=block())], path, **request_)
    assert found.outcome is (Outcome.BLOCKED if matches else Outcome.PASSTHROUGH)
    assert (found.rules[0].why == "block: refused with 403") == matches


def test_entries_of_match_are_alternatives():
    either = rule(match=[{"domains": ["a.test"]}, {"domains": ["h.test"], "methods": ["GET"]}], block=block())
    assert verdict([either]).outcome is Outcome.BLOCKED
    assert verdict([either], method="POST").outcome is Outcome.PASSTHROUGH


BYTES = st.text(alphabet=st.characters(max_codepoint=255), max_size=8)
ACTIONS = st.sampled_from(
    [
        {},
        {"bypass": True},
        {"block": block()},
        set_(a="1"),
        set_(a="2"),
        {"headerManipulation": headers("a", b="1")},
        {"tokenTransformation": token()},
        {"tokenTransformation": token(fail="Allow", target="a")},
        {"mcpToolPolicy": DENY_DELETE},
    ]
)
DOMAINS = st.sampled_from([["*"], ["h.test"], ["*.test"], ["other.test"]])
RULES = st.lists(st.tuples(DOMAINS, ACTIONS), max_size=6)


def named(rules):
    return [rule(f"r{number}", domains=domains, **actions) for number, (domains, actions) in enumerate(rules)]


@given(
    RULES,
    BYTES,
    BYTES,
    st.lists(st.tuples(BYTES, BYTES), max_size=3),
    st.binary(max_size=12),
    st.sampled_from(["GET", "POST", "TRACE", "x"]),
    st.booleans(),
)
@settings(deadline=None)
def test_any_request_gets_a_verdict(rules, path, authority, sent, body, method, http2):
    request = raw("/" + path, authority or "h.test", headers=sent, body=body, method=method, http2=http2)
    found = evaluate(selection(*named(rules)), request, credentials={})
    assert (found.outcome is Outcome.BLOCKED) == (found.status is not None)


@given(RULES, st.booleans(), st.booleans())
@settings(deadline=None)
def test_laws_of_the_walk(rules, has_credential, calls):
    """A refusal carries no change; at most the last rule visited ended the walk; cutting the rules after it changes nothing."""
    more = {"method": "POST", "body": CALL, "headers": [VERSION]} if calls else {}
    credentials = {KEY: "k"} if has_credential else {}
    found = verdict(named(rules), credentials=credentials, **more)
    if found.outcome is Outcome.BLOCKED:
        assert found.set_headers == found.remove_headers == found.secret_headers == ()
    assert not set(found.remove_headers) & {name for name, _ in found.set_headers}
    assert set(found.secret_headers) <= {name for name, _ in found.set_headers}
    visited = named(rules)[: len(found.rules)]
    again = verdict(visited, credentials=credentials, **more)
    assert again == found
    if len(found.rules) < len(rules):
        assert found.rules[-1].acted
        assert found.outcome in (Outcome.BLOCKED, Outcome.BYPASSED)


@given(RULES)
@settings(deadline=None)
def test_a_bypass_at_the_end_forwards_what_would_have_been_forwarded(rules):
    plain = verdict(named(rules), credentials={KEY: "k"})
    ended = verdict([*named(rules), rule("end", bypass=True)], credentials={KEY: "k"})
    assert (ended.set_headers, ended.remove_headers, ended.status) == (plain.set_headers, plain.remove_headers, plain.status)
