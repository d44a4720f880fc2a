"""The hash label is agent-sandbox's own, to the bit, and its collisions are said."""

import pytest

from policy.template_hashes import HASH_LABEL, collisions, name_hash, pod_selector


@pytest.mark.parametrize(
    ("name", "expected"),
    [("test-template", "69155462"), ("my-template", "aeae83fc"), ("python-runtime", "7c7dd1d6"), ("", "811c9dc5")],
)
def test_known_hashes(name, expected):
    """The values that agent-sandbox puts on its pods."""
    assert name_hash(name) == expected


def test_hash_is_a_short_label_value_that_differs_by_name():
    """Eight characters, the same each time, different for different names, the empty one included."""
    names = ["", "a", "b", "ab", "ba", "x" * 253]
    assert len({name_hash(name) for name in names}) == len(names)
    assert all(len(name_hash(name)) == 8 and name_hash(name) == name_hash(name) for name in names)


def test_selector_is_the_hash_label():
    """A policy selects a template's pods by nothing else."""
    assert pod_selector("my-template") == {"matchLabels": {HASH_LABEL: "aeae83fc"}}


COLLIDING = ("agent-zodzny", "agent-uxnslz")


def test_two_templates_with_one_hash_in_a_namespace_are_named_to_each_other():
    """Both are told, each with the other's name; other namespaces and templates are not concerned."""
    first, second = COLLIDING
    assert name_hash(first) == name_hash(second)
    found = collisions([("a", first), ("a", second), ("b", first), ("a", "other")])
    assert set(found) == {("a", first), ("a", second)}
    assert second in found["a", first].message
    assert not found["a", first].fatal
