"""Equal parts of profiles are one object, and the profiles mean what they meant."""

from extproc.feed.sharing import MOST, Sharing
from unit_tests.extproc.desks import program
from unit_tests.policy.profiles import block, headers, model, rule, token


def compiled(name, *rules, **more):
    return program(model(*rules, name=name, **more)).profiles[0]


def rules(host="h.test"):
    return (
        rule("a", [host, "*.h.test"], block=block()),
        rule("b", [host], tokenTransformation=token(), headerManipulation=headers(x_a="1")),
        rule("c", [host], mcpToolPolicy={"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "allow"}]}),
    )


def test_nothing_changes_but_who_holds_what():
    """Equal before and after; the parts of one stand in the other."""
    one, two = compiled("one", *rules()), compiled("two", *rules())
    sharing = Sharing()
    first, second = sharing.profile(one), sharing.profile(two)
    assert (first, second) == (one, two)
    for left, right in zip(first.rules, second.rules, strict=True):
        assert left.match is right.match
        assert (left.block, left.mcp, left.headers, left.token) == (right.block, right.mcp, right.headers, right.token)
        assert all(getattr(left, part) is getattr(right, part) for part in ("block", "mcp", "headers", "token"))
        assert left.profile is first.ref


def test_what_is_remembered_is_bounded():
    """Where no profile is like another."""
    sharing = Sharing()
    for number in range(MOST // 8):
        one = compiled("p", rule("a", [f"a{number}.test", f"b{number}.test"], block=block(400 + number % 150, str(number))))
        for other in range(4):
            sharing._once((number, other))
        assert sharing.profile(one) == one
        assert len(sharing._seen) <= MOST
    assert sharing._once("again") is sharing._once("again")
