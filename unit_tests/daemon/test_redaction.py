"""What is named or looks like a secret is not logged, and what is not stays readable."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.compile.redacted import Redacted
from daemon.redaction import LONGEST_TEXT, MOST_ENTRIES, clean, plain, secret_name

SECRET = "Hunter2Hunter2"


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "token", "accessToken", "access_token", "X-Auth-Token", "password", "data", "stringData", "apiKey", "api_key", "PRIVATE_KEY", "Cookie", "clientSecret"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert secret_name(name)


@pytest.mark.parametrize("name", ["metadata", "key", "secret", "name", "database", "credentials", "tokenised", "resource", "keys"])
def test_names_that_tell_where_and_not_what(name: str) -> None:
    assert not secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"GET / Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}",
        f"sent bearer {SECRET}",
        f"https://x.test/?token={SECRET}&y=1",
        f"password='{SECRET} {SECRET}'",
        f"{{'data': {{'key': '{SECRET}', 'more': '}}{SECRET}'}}, 'x': 1}}",
        f'{{"data":{{"key":"{SECRET}"}}}}',
        f'{{"stringData": {{"a": "{SECRET}',
        f"{{'accessToken': b'{SECRET}'}}",
        f"input_value='{SECRET}', input_type=str",
        f"input_value={{'a': '{SECRET}'}}, input_type=dict",
        f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n",
        f"eyJhbGciOiJSUzI1NiJ9.{SECRET}.{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_masked_in_running_text(text: str) -> None:
    assert "Hunter" not in clean(text)
    assert "***" in clean(text)


@pytest.mark.parametrize(
    "text",
    [
        "get secrets team-a/x-egress: 404 NotFound",
        "the token has expired: it is read again",
        "{'metadata': {'name': 'x', 'namespace': 'team-a'}, 'kind': 'Secret'}",
        "no data: 3 of 5 done",
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_a_long_text_is_cut_and_says_so() -> None:
    assert clean("x" * (LONGEST_TEXT + 5)) == "x" * LONGEST_TEXT + "… 5 more characters"


def test_values_become_plain_data() -> None:
    given = {
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "raw": b"abc",
        "set": {1},
        "nan": float("nan"),
        5: (1, None, True),
        "own": Redacted(b"x"),
    }
    assert plain(given) == {
        "when": "2026-01-02T00:00:00+00:00", "raw": "3 bytes", "set": [1], "nan": "nan", "5": [1, None, True], "own": "***",
    }  # fmt: skip


def test_a_long_list_is_cut() -> None:
    assert len(plain(list(range(1000)))) == MOST_ENTRIES


def test_what_contains_itself_ends() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert json.dumps(plain(circle))


nested = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
names = st.sampled_from(["token", "password", "data", "authorization"])


@given(nested, names, st.sampled_from(["list", "map", "top"]))
def test_nothing_under_a_secret_name_gets_through_and_all_of_it_is_json(value: object, name: str, place: str) -> None:
    guarded = {name: [SECRET, {"x": SECRET}], "beside": value}
    whole: object = {"list": [guarded], "map": {"inside": guarded}, "top": guarded}[place]
    assert SECRET not in json.dumps(plain(whole), allow_nan=False)
