"""Field paths are text that can be read and split again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.paths import render, shorten, split

KEYS = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("spec", "rules", 2, "match", 0, "paths", 1, "value"), "spec.rules[2].match[0].paths[1].value"),
        (("metadata", "annotations", "groyne.dev/ca-secret"), 'metadata.annotations["groyne.dev/ca-secret"]'),
        (("data", "0"), 'data["0"]'),
        ((), ""),
    ],
)
def test_a_path_reads_as_kubernetes_writes_it(parts: tuple[str | int, ...], text: str) -> None:
    assert render(parts) == text


@given(st.lists(st.one_of(KEYS, st.integers(min_value=0, max_value=10**6))))
def test_a_rendered_path_splits_into_its_parts(parts: list[str | int]) -> None:
    assert split(render(parts)) == tuple(parts)


def test_a_key_of_absurd_length_is_cut() -> None:
    assert len(render(("spec", "x" * 10**6))) < 200


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert shorten("\x1b[31m\ud800") == "\\u001b[31m\\ud800"
    assert render(("spec", "\x1b[31m")) == 'spec["\\u001b[31m"]'
