"""What a provider's answer may be, and that a wrong one is refused without a word of it."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.providers.answers import LONGEST_LIFE, read_answer
from extproc.providers.seam import ALIYUN_STS, API_KEY, Failure, ProviderAnswer, ProviderError

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def read(said: Any, keys: tuple[str, ...] = API_KEY) -> ProviderAnswer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return read_answer(body, keys, asked_at=100.0, wall_clock=NOW)


def failure(said: Any, keys: tuple[str, ...] = API_KEY) -> Failure:
    with pytest.raises(ProviderError) as caught:
        read(said, keys)
    return caught.value.reason


def test_a_key_is_read_and_other_fields_are_passed_over() -> None:
    assert read({"apiKey": "k", "more": [1]}) == ProviderAnswer(values={"apiKey": "k"})


def test_for_aliyun_all_three_values_are_read() -> None:
    said = {"accessKeyId": "STS.a", "accessKeySecret": "b", "securityToken": "c"}
    assert read(said, ALIYUN_STS).values == said


@pytest.mark.parametrize("missing", ALIYUN_STS)
def test_for_aliyun_none_of_the_three_may_be_missing(missing: str) -> None:
    said = {key: "x" for key in ALIYUN_STS if key != missing}
    assert failure(said, ALIYUN_STS) is Failure.INVALID


def test_text_beyond_ascii_comes_out_as_its_utf8_bytes_in_latin1_as_secrets_do() -> None:
    assert read({"apiKey": "ü"}).values == {"apiKey": "ü".encode().decode("latin-1")}


def test_one_line_end_at_the_end_is_no_part_of_a_key() -> None:
    assert read({"apiKey": "k\n"}).values == {"apiKey": "k"}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"null",
        b'"k"',
        b"[]",
        b"{}",
        b"{",
        b"\xff\xfe",
        b'{"apiKey": NaN}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        {"apiKey": ""},
        {"apiKey": None},
        {"apiKey": 1},
        {"apiKey": ["k"]},
        {"apikey": "k"},
        {"apiKey": "a\r\nx-evil: 1"},
        {"apiKey": "a\x00b"},
        {"apiKey": " k"},
        {"apiKey": "k" * 100_000},
        b'{"apiKey": "\\ud800"}',
    ],
)
def test_whatever_is_no_key_fit_for_a_header_is_invalid(said: Any) -> None:
    assert failure(said) is Failure.INVALID


@pytest.mark.parametrize(
    ("said", "until"),
    [
        ({}, None),
        ({"expiresIn": None, "expiration": None}, None),
        ({"expiresIn": 60}, 160.0),
        ({"expiresIn": 0.5}, 100.5),
        ({"expiration": "2026-01-01T12:01:00Z"}, 160.0),
        ({"expiration": "2026-01-01T13:01:00.000+01:00"}, 160.0),
        ({"expiresIn": 10, "expiration": "2026-01-01T12:01:00Z"}, 110.0),
        ({"expiresIn": 100, "expiration": "2026-01-01T12:01:00Z"}, 160.0),
        ({"expiresIn": 10**400}, 100.0 + LONGEST_LIFE),
        ({"expiration": "9999-12-31T23:59:59Z"}, 100.0 + LONGEST_LIFE),
    ],
)
def test_the_end_is_the_earlier_of_both_in_the_loops_time(said: Any, until: float | None) -> None:
    assert read({"apiKey": "k", **said}).expires_at == until


@pytest.mark.parametrize(
    "said", [{"expiresIn": 0}, {"expiresIn": -(10**400)}, {"expiration": "2026-01-01T12:00:00Z"}, {"expiration": "1970-01-01T00:00:00Z"}]
)
def test_a_key_that_has_ended_already_is_none(said: Any) -> None:
    assert failure({"apiKey": "k", **said}) is Failure.EXPIRED


@pytest.mark.parametrize(
    "said",
    [
        {"expiresIn": "60"},
        {"expiresIn": True},
        {"expiresIn": []},
        {"expiration": 1},
        {"expiration": "soon"},
        {"expiration": "2026-01-01T12:01:00"},
    ],
)
def test_an_end_that_cannot_be_read_is_not_guessed(said: Any) -> None:
    assert failure({"apiKey": "k", **said}) is Failure.INVALID


def outcome(body: bytes) -> tuple[str, str]:
    """The error's text, or the key."""
    try:
        return "", read_answer(body, API_KEY, asked_at=0.0, wall_clock=NOW).values["apiKey"]
    except ProviderError as error:
        return str(error), ""


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["apiKey", "expiresIn", "expiration"]), x),
    ).map(lambda v: json.dumps(v).encode())
)
def test_no_answer_raises_anything_else_and_no_error_quotes_it(body: bytes) -> None:
    error, key = outcome(body)
    assert (error in set(Failure)) != bool(key)
    assert "\n" not in key


def test_a_printed_answer_does_not_show_its_values() -> None:
    assert "sk-1" not in repr(read({"apiKey": "sk-1"}))
