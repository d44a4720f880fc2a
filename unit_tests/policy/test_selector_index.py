"""An index finds every selector that matches, and every item that a selector matches, whatever else it offers besides."""

from hypothesis import given
from hypothesis import strategies as st

from policy.selector_index import LabelIndex, SelectorIndex
from policy.selectors import LabelSelector, Operator, Requirement

KEYS, VALUES, SPACES = ("app", "tier"), ("a", "b"), ("x", "y")
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
REQUIREMENT = st.builds(
    lambda key, operator, values: Requirement(
        key=key, operator=operator, values=tuple(values) if operator in (Operator.IN, Operator.NOT_IN) else ()
    ),
    st.sampled_from(KEYS),
    st.sampled_from(list(Operator)),
    st.lists(st.sampled_from(VALUES), min_size=1, max_size=2, unique=True),
)
SELECTOR = st.builds(lambda found: LabelSelector(requirements=tuple(found)), st.lists(REQUIREMENT, max_size=3))


@given(st.dictionaries(st.integers(0, 5), st.tuples(st.sampled_from(("", *SPACES)), SELECTOR)), LABELS, st.sampled_from(SPACES))
def test_no_matching_selector_is_missed(selectors, labels, namespace):
    index: SelectorIndex[int] = SelectorIndex()
    for item, (space, selector) in selectors.items():
        index.put(item, space, selector)
    found = {item for item in index.candidates(namespace, labels) if selectors[item][1].matches(labels)}
    assert found == {item for item, (space, selector) in selectors.items() if space in ("", namespace) and selector.matches(labels)}


@given(st.dictionaries(st.integers(0, 5), st.tuples(st.sampled_from(SPACES), LABELS)), SELECTOR, st.sampled_from(("", *SPACES)))
def test_no_matching_item_is_missed(items, selector, namespace):
    index: LabelIndex[int] = LabelIndex()
    for item, (space, labels) in items.items():
        index.put(item, space, labels.items())
    found = {item for item in index.candidates(namespace, selector) if selector.matches(items[item][1])}
    assert found == {item for item, (space, labels) in items.items() if namespace in ("", space) and selector.matches(labels)}


def test_what_is_put_again_or_removed_is_not_found_where_it_was():
    index: SelectorIndex[str] = SelectorIndex()
    index.put("p", "x", LabelSelector(requirements=(Requirement(key="app", operator=Operator.IN, values=("a",)),)))
    index.put("p", "y", LabelSelector())
    assert list(index.candidates("x", {"app": "a"})) == []
    assert list(index.candidates("y", {})) == ["p"]
    index.remove("p")
    assert list(index.candidates("y", {})) == []


def test_a_selector_of_one_label_is_no_candidate_for_others():
    index: SelectorIndex[str] = SelectorIndex()
    index.put("p", "x", LabelSelector(requirements=(Requirement(key="app", operator=Operator.IN, values=("a",)),)))
    assert list(index.candidates("x", {"app": "b"})) == []
