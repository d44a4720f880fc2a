"""Actions compile, or say why not; what never runs is named and left out."""

import pytest

from policy.program import Block, FailStrategy, HeaderManipulation, McpToolPolicy, SecretKeyRef, ToolRule
from unit_tests.policy.profiles import block, compiled, headers, only_problem, problems, rule, token

ACTIONS = "spec.rules[0].actions."


def one(**actions):
    return compiled(rule(**actions)).rules[0]


def place(**actions):
    problem = only_problem(rule(**actions))
    assert problem.field.startswith(ACTIONS)
    return problem.reason, problem.field.removeprefix(ACTIONS), problem.fatal


def test_a_block_has_status_and_body_as_bytes():
    assert one(block=block(451, "nein, café")).block == Block(status=451, body="nein, caf\xc3\xa9")
    assert one(block={}).block == Block(status=403, body=None)
    assert one(block=block(403, "")).block.body == ""


@pytest.mark.parametrize("status", [100, 101, 199])
def test_a_block_below_200_is_refused(status):
    assert place(block=block(status)) == ("InvalidStatus", "block.statusCode", True)


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_body_has_none(status):
    assert one(block=block(status)).block.body == ""
    assert place(block=block(status, "x")) == ("InvalidStatus", "block.body", True)


def test_bypass_false_is_as_if_it_were_not_there():
    assert one(bypass=False, block=block()) == one(block=block())


@pytest.mark.parametrize("winner", ["bypass", "block"])
def test_what_comes_after_a_terminal_action_of_the_same_rule_never_runs(winner):
    rest = {"headerManipulation": headers(a="1"), "tokenTransformation": token()}
    first = {"bypass": True, "block": block()} if winner == "bypass" else {"block": block()}
    found = problems(rule(**first, **rest))
    unreachable = (["block"] if winner == "bypass" else []) + ["headerManipulation", "tokenTransformation"]
    assert found == [("UnreachableAction", ACTIONS + field) for field in unreachable]
    seen = one(**first, **rest)
    assert (seen.terminal, seen.headers, seen.token) == (True, None, None)


@pytest.mark.parametrize(
    "name", ["host", "connection", "content-length", "te", "upgrade", "keep-alive", "trailer", "transfer-encoding", "proxy-authorization",
             "x-envoy-retry-on", "x-groyne-path"]
)  # fmt: skip
def test_no_rule_writes_headers_that_say_where_a_request_goes_or_how_it_is_framed(name):
    assert place(headerManipulation=headers(**{name: "x"})) == ("ReservedHeader", "headerManipulation.set[0].name", True)
    assert place(headerManipulation=headers(name)) == ("ReservedHeader", "headerManipulation.remove[0]", True)
    assert place(tokenTransformation=token(target=name.title())) == ("ReservedHeader", "tokenTransformation.apiKey.targetHeader", True)


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\x00", "\x7f", " a", "a\t"])
def test_a_value_that_no_header_can_hold_is_refused(value):
    assert place(headerManipulation=headers(a=value)) == ("InvalidValue", "headerManipulation.set[0].value", True)


def test_header_values_are_literal_bytes():
    seen = one(headerManipulation=headers("b", "b", a="100%\t%REQ(x)% é", c="")).headers
    assert seen == HeaderManipulation(set=(("a", "100%\t%REQ(x)% \xc3\xa9"), ("c", "")), remove=("b",))


def test_a_credential_goes_to_authorization_and_blocks_when_missing():
    seen = one(tokenTransformation=token()).token
    assert seen.target_header == "authorization"
    assert seen.secret == SecretKeyRef(namespace="default", name="openai", key="apiKey")
    assert seen.fail_strategy is FailStrategy.BLOCK
    assert seen.when is None
    assert seen.template.render("k") == "Bearer k"


def test_a_global_profile_leaves_the_namespace_of_its_secret_open():
    assert compiled(rule(tokenTransformation=token()), kind="GlobalSecurityProfile").rules[0].token.secret.namespace is None


def test_a_reference_to_another_namespace_is_recorded():
    ref = {"secret": {"name": "s", "namespace": "other"}}
    assert one(tokenTransformation=token() | {"credentialRef": ref}).token.secret.namespace == "other"


def test_the_deprecated_flat_reference_means_the_same():
    assert one(tokenTransformation=token() | {"credentialRef": {"kind": "Secret", "name": "openai"}}) == one(tokenTransformation=token())


@pytest.mark.parametrize("strategy", ["Allow", "Ignore", "Block"])
def test_a_fail_strategy_is_kept(strategy):
    assert one(tokenTransformation=token(fail=strategy)).token.fail_strategy.value == strategy


def test_a_disabled_credential_is_left_out_whatever_it_says():
    assert one(tokenTransformation=token(disabled=True, template="{{ .Nope }}")).token is None


def test_when_is_a_regex_in_which_the_placeholder_stands_for_anything_without_spaces():
    when = one(tokenTransformation=token(when={"header": "Authorization", "pattern": "^Bearer __PLACEHOLDER__$"})).token.when
    assert when.header == "authorization"
    assert when.match.matches("Bearer sk-1")
    assert not when.match.matches("Bearer ")
    assert not when.match.matches("Bearer a b")


def test_mistakes_of_a_credential_are_found_together():
    wrong = token(template="{{ .Key }}", target="Host", when={"header": "x-envoy-a", "pattern": "("})
    assert problems(rule(tokenTransformation=wrong)) == [
        ("ReservedHeader", ACTIONS + "tokenTransformation.apiKey.targetHeader"),
        ("ReservedHeader", ACTIONS + "tokenTransformation.apiKey.when.header"),
        ("InvalidRegex", ACTIONS + "tokenTransformation.apiKey.when.pattern"),
        ("UnsupportedTemplate", ACTIONS + "tokenTransformation.apiKey.valueTemplate"),
    ]


def test_a_template_that_never_uses_the_token_is_warned_of():
    assert place(tokenTransformation=token(template="static")) == ("UnusedToken", "tokenTransformation.apiKey.valueTemplate", False)


AUDIT = [{"name": "a", "webhook": {"url": "https://audit.test/"}}]


@pytest.mark.parametrize(
    ("actions", "field"),
    [
        ({"audit": AUDIT}, "audit"),
        ({"tokenTransformation": {"type": "AliyunSTS", "credentialRef": {"secret": {"name": "s"}}}}, "tokenTransformation.type"),
        (
            {"tokenTransformation": token() | {"credentialRef": {"credentialProvider": {"name": "p"}}}},
            "tokenTransformation.credentialRef.credentialProvider",
        ),
    ],
)
def test_what_needs_the_other_engine_is_refused_until_it_is_there(actions, field):
    assert place(**actions) == ("EngineUnavailable", field, True)


@pytest.mark.parametrize(("field", "value"), [("inputs", [{"name": "i", "inline": {"a": "b"}}]), ("audit", AUDIT)])
def test_so_is_what_a_whole_profile_needs_of_it(field, value):
    problem = only_problem(rule(), **{field: value})
    assert (problem.reason, problem.field, problem.fatal) == ("EngineUnavailable", f"spec.{field}", True)


def test_a_tool_policy_compiles_with_its_defaults():
    rules = [{"method": "tools/call", "toolNames": ["a", "é", "a"], "action": "allow"}]
    assert one(mcpToolPolicy={"defaultAction": "deny", "rules": rules}).mcp == McpToolPolicy(
        rules=(ToolRule(method="tools/call", tools=("a", "\xc3\xa9"), allow=True),)
    )


def test_a_tool_policy_compiles_with_everything_said():
    spec = {
        "defaultAction": "allow",
        "unsupportedVersionAction": "passthrough",
        "denyResponse": {"statusCode": 404, "body": "no"},
        "rules": [{"method": "tools/call", "action": "deny"}],
    }
    seen = one(mcpToolPolicy=spec).mcp
    assert (seen.default_allow, seen.unsupported_version_deny, seen.deny) == (True, False, Block(status=404, body="no"))


def test_an_answer_to_a_denied_tool_must_refuse_too():
    spec = {"defaultAction": "deny", "denyResponse": {"statusCode": 101}, "rules": [{"method": "tools/call", "action": "deny"}]}
    assert place(mcpToolPolicy=spec) == ("InvalidStatus", "mcpToolPolicy.denyResponse.statusCode", True)


def test_a_rule_without_actions_is_fine():
    assert not one().terminal
