"""Actions: limits, defaults, and the rules between fields."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, acting, faults, profile, rule

AT = "spec.rules[0].actions"


def actions(**given: Any) -> Any:
    return accepted(acting(**given)).spec.rules[0].actions


def test_no_action_is_an_action() -> None:
    nothing = actions()
    assert nothing.bypass is False
    assert (nothing.block, nothing.mcp_tool_policy, nothing.header_manipulation, nothing.token_transformation) == (None,) * 4


def test_a_block_answers_403_unless_told_otherwise() -> None:
    assert (actions(block={}).block.status_code, actions(block={}).block.body) == (403, None)
    assert actions(block={"statusCode": 451, "body": ""}).block.body == ""


def test_a_status_below_200_is_left_to_the_policy_compiler() -> None:
    """The owners' schema lets it in, so the manifest applies; the profile is not accepted."""
    assert actions(block={"statusCode": 100}).block.status_code == 100


def test_an_mcp_policy_denies_unless_told_otherwise() -> None:
    policy = actions(mcpToolPolicy={"rules": [{"method": "tools/call", "action": "allow"}]}).mcp_tool_policy
    assert (policy.default_action, policy.unsupported_version_action, policy.deny_response) == ("deny", "deny", None)
    assert (policy.rules[0].method, policy.rules[0].tool_names, policy.rules[0].action) == ("tools/call", (), "allow")


@pytest.mark.parametrize(
    ("given", "reason", "field"),
    [
        ({"bypass": "true"}, "InvalidType", "bypass"),
        ({"bypass": 1}, "InvalidType", "bypass"),
        ({"block": {"statusCode": 99}}, "InvalidValue", "block.statusCode"),
        ({"block": {"statusCode": 600}}, "InvalidValue", "block.statusCode"),
        ({"block": {"statusCode": "403"}}, "InvalidType", "block.statusCode"),
        ({"block": {"body": 5}}, "InvalidType", "block.body"),
        ({"block": True}, "InvalidType", "block"),
        ({"mcpToolPolicy": {}}, "MissingField", "mcpToolPolicy.rules"),
        ({"mcpToolPolicy": {"rules": []}}, "TooFew", "mcpToolPolicy.rules"),
        ({"mcpToolPolicy": {"rules": [{"method": "", "action": "deny"}]}}, "InvalidValue", "mcpToolPolicy.rules[0].method"),
        ({"mcpToolPolicy": {"rules": [{"method": "m", "action": "Deny"}]}}, "InvalidEnum", "mcpToolPolicy.rules[0].action"),
        ({"headerManipulation": {"set": [{"name": "X-A", "value": ""}]}}, "InvalidValue", "headerManipulation.set[0].name"),
        ({"headerManipulation": {"set": [{"name": "a"}]}}, "MissingField", "headerManipulation.set[0].value"),
        ({"headerManipulation": {"set": [{"name": "a", "value": "x" * 2049}]}}, "TooLong", "headerManipulation.set[0].value"),
        ({"headerManipulation": {"set": [{"name": f"a{i}", "value": ""} for i in range(17)]}}, "TooLong", "headerManipulation.set"),
        ({"headerManipulation": {"remove": ["a"] * 17}}, "TooLong", "headerManipulation.remove"),
        ({"headerManipulation": {"remove": ["A"]}}, "InvalidValue", "headerManipulation.remove[0]"),
        ({"headerManipulation": {"remove": [""]}}, "InvalidValue", "headerManipulation.remove[0]"),
    ],
)
def test_an_action_outside_its_limits_is_located(given: dict[str, Any], reason: str, field: str) -> None:
    assert (reason, f"{AT}.{field}") in faults(acting(**given))


def test_a_header_is_set_once() -> None:
    twice = {"set": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}, {"name": "a", "value": "3"}]}
    assert faults(acting(headerManipulation=twice)) == [("Duplicate", f"{AT}.headerManipulation.set[2].name")]


def test_a_header_is_not_both_set_and_removed() -> None:
    both = {"set": [{"name": "a", "value": "1"}], "remove": ["b", "a"]}
    assert faults(acting(headerManipulation=both)) == [("Conflict", f"{AT}.headerManipulation.remove[1]")]


def test_an_empty_manipulation_is_valid() -> None:
    assert actions(headerManipulation={}).header_manipulation.set == ()


def test_rules_have_names_of_their_own() -> None:
    assert faults(profile(rules=[rule("a"), rule("b"), rule("a")])) == [("Duplicate", "spec.rules[2].name")]
