"""Secrets and ConfigMaps: what counts is read, values stay hidden."""

import base64
from typing import Any

import pytest

from crds import parse
from unit_tests.crds.build import accepted, faults, secret

HUSH = "hush-hush"


def test_data_is_decoded_and_string_data_wins() -> None:
    value = accepted(secret(data={"a": "QQ==", "b": "Qg=="}, stringData={"b": "é", "c": ""}))
    assert dict(value.values) == {"a": b"A", "b": "é".encode(), "c": b""}
    assert value.type == "Opaque"


def test_base64_may_be_broken_into_lines() -> None:
    assert accepted(secret(data={"a": "QU\nJD\r\n"})).values == {"a": b"ABC"}


@pytest.mark.parametrize("text", ["A", "QQ", "Q Q=", "QQ==x", "é", "Q-_=", HUSH])
def test_what_is_no_base64_is_located(text: str) -> None:
    assert faults(secret(data={"a": text})) == [("InvalidValue", "data.a")]


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"k": HUSH}},
        {"data": HUSH},
        {"data": [HUSH]},
        {"stringData": {"k": [HUSH]}},
        {"stringData": {"k": {"a": HUSH}}},
        {"data": {"k": 5}, "stringData": HUSH},
        {"type": [HUSH]},
        {"data": {HUSH: None}},
        {"stringData": {"a": "b", HUSH: None}},
        {"stringData": {f"{HUSH}!": "a"}},
        {"data": {f"{HUSH}/": 5}},
        {"metadata": {"name": "s", "annotations": {HUSH: None}}},
        {"metadata": {"name": "s", "labels": {HUSH: None}}},
    ],
)
def test_no_problem_repeats_a_value(fields: dict[str, Any]) -> None:
    problems = parse(secret(**fields)).problems
    assert problems
    assert HUSH not in repr(problems)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"stringData": {"a": "b", "c d": "e", HUSH: None}}, ["stringData[1]", "stringData[2]"]),
        ({"stringData": {"token": 5}}, ["stringData.token"]),
        ({"data": {"token": "%"}}, ["data.token"]),
        ({"metadata": {"name": "s", "annotations": {"groyne.dev/allowed-hosts": 5}}}, ['metadata.annotations["groyne.dev/allowed-hosts"]']),
    ],
)
def test_a_key_that_may_be_a_value_is_told_by_its_number(fields: dict[str, Any], field: list[str]) -> None:
    """A key without a value is what a value without a key looks like; what is surely a key is named."""
    assert sorted({place for _, place in faults(secret(**fields))}) == field


def test_no_text_of_a_secret_shows_its_values() -> None:
    """Nor does its metadata, since kubectl keeps a copy of the whole object in an annotation."""
    raw = secret(data={"a": base64.b64encode(HUSH.encode()).decode()}, stringData={"b": HUSH})
    raw["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": HUSH}
    text = repr(accepted(raw)) + str(accepted(raw))
    assert HUSH not in text
    assert raw["data"]["a"] not in text


@pytest.mark.parametrize("metadata", [{}, {"name": None}, {"generateName": "a-"}])
def test_an_object_needs_a_name(metadata: dict[str, Any]) -> None:
    assert faults({**secret(), "metadata": metadata}) == [("MissingField", "metadata.name")]


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({"name": "A"}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 254}, "name"),
        ({"name": "a", "namespace": "a.b"}, "namespace"),
        ({"name": "a", "labels": {"k": "-"}}, "labels.k"),
        ({"name": "a", "annotations": {"a b": "x"}}, 'annotations["a b"]'),
    ],
)
def test_metadata_follows_the_api_servers_syntax(metadata: dict[str, Any], field: str) -> None:
    assert faults({**secret(), "metadata": metadata}) == [("InvalidValue", f"metadata.{field}")]


@pytest.mark.parametrize("key", ["a/b", "", "..", "x" * 254])
def test_a_data_key_follows_the_api_servers_syntax(key: str) -> None:
    assert [reason for reason, _ in faults(secret(stringData={key: "v"}))] == ["InvalidValue"]


def test_other_fields_of_core_objects_are_tolerated() -> None:
    accepted(secret(immutable=True, status={"x": 1}))
    value = accepted({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}, "binaryData": {"b": "QQ=="}})
    assert value.data == {"k": "v"}


def test_a_config_maps_values_are_text() -> None:
    raw = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": 1}}
    assert faults(raw) == [("InvalidType", "data.k")]
