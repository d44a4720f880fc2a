"""Folding constants away never changes what a predicate says, and no constant is left for Envoy."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dataplane.predicates import all_of, any_of, header, header_matches, negation
from policy.strings import MatchKind, StringMatch
from unit_tests.dataplane.reading import holds

NAMES = ("a", "b", "c")
LEAVES = st.one_of(st.booleans(), st.sampled_from(NAMES))
TREES = st.recursive(LEAVES, lambda inner: st.tuples(st.sampled_from(["all", "any", "not"]), st.lists(inner, max_size=3)), max_leaves=12)
HEADERS = st.dictionaries(st.sampled_from(NAMES), st.just("1"))


def compiled(tree: Any) -> Any:
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, str):
        return header(tree, exact="1")
    kind, inner = tree
    parts = [compiled(each) for each in inner]
    return {"all": all_of, "any": any_of, "not": lambda found: negation(all_of(found))}[kind](parts)


def naive(tree: Any, headers: dict[str, str]) -> bool:
    if isinstance(tree, bool):
        return tree
    if isinstance(tree, str):
        return tree in headers
    kind, inner = tree
    parts = [naive(each, headers) for each in inner]
    return {"all": all(parts), "any": any(parts), "not": not all(parts)}[kind]


@given(TREES, HEADERS)
def test_a_folded_predicate_says_what_the_tree_says(tree, headers):
    """All, any and not keep their meaning, whatever is constant in them."""
    assert holds(compiled(tree), headers) == naive(tree, headers)


@given(TREES)
def test_no_constant_is_left_inside(tree):
    """Envoy knows no predicate that is always true."""

    def constants(predicate: Any) -> bool:
        if isinstance(predicate, bool):
            return True
        inner = next(iter(predicate.values()))
        below = inner["predicate"] if isinstance(inner, dict) and "predicate" in inner else [inner] if "not_matcher" in predicate else []
        return any(constants(each) for each in below)

    result = compiled(tree)
    assert isinstance(result, bool) or not constants(result)


@given(
    st.sampled_from(MatchKind),
    st.sampled_from(["a", "A", "a|b", "^a", "b$", "\xc3\xa9", "a\nb"]),
    st.text("aAb\n\xc3\xa9\xff", max_size=4),
)
def test_a_value_is_compared_as_the_policy_compares_it(kind, wanted, value):
    """Exact, prefix and regex mean in Envoy's JSON what they mean in `policy.strings`, for bytes beyond ASCII too."""
    match = StringMatch(kind=kind, value=wanted)
    if kind is MatchKind.REGEX and not wanted.isascii():
        return
    assert holds(header_matches("x", match), {"x": value}) == match.matches(value)
