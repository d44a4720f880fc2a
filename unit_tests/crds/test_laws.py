"""Rules between fields hold on raw dicts of any shape."""

from typing import Any

import pytest

from crds.laws import at_most_one, entries, exactly_one, needs


@pytest.mark.parametrize(("raw", "broken"), [({}, 1), ({"a": 1}, 0), ({"b": {}}, 0), ({"a": 1, "b": 2}, 1)])
def test_exactly_one_counts_what_is_there(raw: dict[str, Any], broken: int) -> None:
    assert len(list(exactly_one("a", "b").broken(raw))) == broken


@pytest.mark.parametrize(("raw", "broken"), [({}, 0), ({"a": 1}, 0), ({"a": 1, "b": 2}, 1)])
def test_at_most_one_allows_none(raw: dict[str, Any], broken: int) -> None:
    assert len(list(at_most_one("a", "b").broken(raw))) == broken


def test_cel_tests_presence_before_it_reads() -> None:
    assert exactly_one("a", "b").cel == "(has(self.a) ? 1 : 0) + (has(self.b) ? 1 : 0) == 1"


def test_a_needed_field_is_named_as_the_place() -> None:
    law = needs("a", when=lambda raw: "b" in raw, unless_cel="!has(self.b)", because="b needs it")
    assert list(law.broken({"b": 1})) == [("a",)]
    assert list(law.broken({})) == list(law.broken({"a": 1, "b": 1})) == []


@pytest.mark.parametrize("value", [None, 5, "text", {"a": 1}])
def test_what_is_no_list_has_no_entries(value: Any) -> None:
    assert entries({"a": value}, "a") == []
