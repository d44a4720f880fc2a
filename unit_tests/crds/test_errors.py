"""Messages are plain words with a remedy."""

import re
from typing import Any

import pytest

from crds import parse
from unit_tests.crds.build import acting, auditing, injecting, matching, profile

JARGON = re.compile(r"Value error|Input should|pydantic|validation|tuple|\bdict\b|\bstr\b|NoneType|\^\[|\bbool\b|\bint\b", re.IGNORECASE)

BROKEN = [
    profile(priority="5"),
    profile(priority=1.5),
    profile(priority=-1),
    profile(rules={}),
    profile(rules="x"),
    profile(selector=[]),
    profile(selector={"matchLabels": {"a": 1}}),
    matching(methods=["get"]),
    matching(domains=[]),
    matching(schemes=["1"]),
    matching(headers=[{"name": "a b", "value": ""}]),
    matching(queryParams=[{"name": " ", "value": "x" * 600}]),
    acting(bypass="yes"),
    acting(block={"statusCode": 9999, "body": {}}),
    acting(headerManipulation={"set": [{"name": "A", "value": "x"}] * 20}),
    injecting(credentialRef={}),
    injecting(failStrategy="block"),
    auditing(timeout="1h", request={"body": {"json": 1, "text": 2}}),
]


@pytest.mark.parametrize("raw", BROKEN)
def test_no_message_speaks_the_librarys_language(raw: dict[str, Any]) -> None:
    problems = parse(raw).problems
    assert problems
    assert [problem.message for problem in problems if JARGON.search(problem.message)] == []


@pytest.mark.parametrize(
    ("raw", "remedy"),
    [
        (matching(ports=["80"]), "must be a whole number, not text: remove the quotes"),
        (matching(domains=[80]), "must be text, not a number: put it in quotes"),
        (profile(selector={"matchLabels": {"a": True}}), "must be text, not true or false: put it in quotes"),
        (profile(selector={"matchLabels": {"a": None}}), "must be text, but nothing is written here"),
        (profile(priority=1e3), "must be a whole number: write it without a point or an exponent"),
        (profile(rules={}), "must be a list (each entry after a `-`), not a map"),
        (acting(bypass="true"), "must be `true` or `false`, not text: remove the quotes"),
        (injecting(failStrategy="block"), "must be one of Allow, Block, Ignore: did you mean Block?"),
        (matching(domains=[]), "needs at least one entry"),
        (matching(paths=[{"value": "x" * 300}]), "may have 256 characters, has 300: shorten it"),
        (matching(headers=[{"name": "X Y", "value": "v"}]), "a header name is made of letters, digits and !#$%&'*+-.^_|~ only"),
    ],
)
def test_a_message_says_what_to_do(raw: dict[str, Any], remedy: str) -> None:
    assert [problem.message for problem in parse(raw).problems] == [remedy]


def test_a_flood_of_problems_is_cut_short() -> None:
    problems = parse(profile(**{f"x{i}": 1 for i in range(3000)})).problems
    assert len(problems) == 1001
    assert problems[-1].reason == "TooManyProblems"
