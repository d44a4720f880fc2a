"""Objects as YAML: the same text for the same object, plain to read, and read back as they were."""

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from groyne.yaml_text import yaml_text

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def test_blocks_not_braces():
    assert yaml_text({"b": [1, {"c": "x"}], "a": {}}) == "a: {}\nb:\n- 1\n- c: x\n"


def test_what_is_shared_is_written_twice():
    shared = {"app": "web"}
    assert yaml_text({"a": shared, "b": shared}) == "a:\n  app: web\nb:\n  app: web\n"


def test_long_lines_stay_whole():
    assert yaml_text({"a": "word " * 500 + "end"}).count("\n") == 1


def test_words_that_yaml_would_take_for_something_else_stay_text():
    words = ["no", "on", "1", "1e3", "null", "~", "2026-01-01", "0x1f", " x", "x: y", "#", ""]
    assert YAML(typ="safe").load(yaml_text({"a": words})) == {"a": words}


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_it_is_read_back_as_it_was(value):
    assert YAML(typ="safe", pure=True).load(yaml_text(value)) == value
