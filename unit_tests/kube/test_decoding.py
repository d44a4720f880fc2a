"""JSON from the server: none of it can stop the reading of the rest, or be repeated in an error."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.decoding import decode, decode_object, encode, shallow
from kube.errors import Invalid, Unavailable

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def nested(levels: int) -> str:
    return '{"f:a":' * levels + "{}" + "}" * levels


def test_an_object_nested_too_deeply_for_the_parser_hides_no_other() -> None:
    """Whoever may create a ConfigMap can have the API server keep managedFields of any depth."""
    found = decode(f'{{"items":[{nested(20_000)},{{"metadata":{{"name":"b"}}}}]}}'.encode(), doing="list")
    assert found["items"][1] == {"metadata": {"name": "b"}}


@given(value=JSON_VALUES)
def test_what_is_not_deep_is_read_as_it_stands(value: Any) -> None:
    text = json.dumps(value).encode()
    assert json.loads(shallow(text)) == value
    assert shallow(text) == text


@given(value=JSON_VALUES, deepest=st.integers(1, 4))
def test_what_is_too_deep_becomes_null_and_nothing_else_changes(value: Any, deepest: int) -> None:
    assert json.loads(shallow(json.dumps(value).encode(), deepest)) == cut(value, deepest)


def cut(value: Any, levels: int) -> Any:
    if isinstance(value, list | dict) and not levels:
        return None
    if isinstance(value, list):
        return [cut(inner, levels - 1) for inner in value]
    return {name: cut(inner, levels - 1) for name, inner in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("text", [b"", b"hunter2", b'{"a":hunter2}', b"\xff\xfe\x00", b'"hunter2', b"[" * 100_000])
def test_what_is_no_json_is_unavailable_and_not_repeated(text: bytes) -> None:
    with pytest.raises(Unavailable) as raised:
        decode(text, doing="get secrets a/b")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("text", [b"[]", b"7", b"null", b'"text"'])
def test_an_answer_is_an_object(text: bytes) -> None:
    with pytest.raises(Unavailable):
        decode_object(text, doing="get")


def test_what_is_sent_is_compact_and_one_that_cannot_be_sent_is_invalid() -> None:
    assert encode({"a": [1, "é"]}) == b'{"a":[1,"\\u00e9"]}'
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(Invalid):
        encode(deep)
