"""No credential stays in an environment, in whatever form it stands there."""

import base64
import json
import random
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groyne.environment.scrub import Scrubbed, scrub

KEY = "sk-proj-AbC4567890/bc+efXYZ01"


def scrubbed(env: dict[str, str], **credentials: str) -> Scrubbed:
    return scrub(env, credentials or {"openai": KEY}, random.Random(1))


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "Bearer {}",
        "https://user:{}@host/",
        '{{"api_key": "{}", "x": 1}}',
        "a={};b=c",
        " {}\n",
    ],
)
def test_a_credential_is_replaced_within_other_text(form: str) -> None:
    result = scrubbed({"X": form.format(KEY)})
    assert result.env["X"] == form.format(result.placeholders["openai"])
    assert result.changed == ("X",)


def test_the_forms_of_urls_and_json_are_replaced() -> None:
    key = 'pass"word\\with/odd?characters=1'
    env = {"URL": f"https://me:{quote(key, safe='')}@host", "JSON": json.dumps({"k": key})}
    result = scrubbed(env, odd=key)
    assert json.loads(result.env["JSON"]) == {"k": result.placeholders["odd"]}
    assert result.env["URL"] == f"https://me:{quote(result.placeholders['odd'], safe='')}@host"


@pytest.mark.parametrize("text", [KEY, f"user:{KEY}", f'{{"auth": "{KEY}"}}'])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padded", [True, False])
def test_base64_is_replaced_and_stays_base64(text: str, encode: object, padded: bool) -> None:
    encoded = encode(text.encode()).decode()
    encoded = encoded if padded else encoded.rstrip("=")
    result = scrubbed({"AUTH": f"Basic {encoded}"})
    token = result.env["AUTH"].removeprefix("Basic ").replace("-", "+").replace("_", "/")
    decoded = base64.b64decode(token + "=" * (-len(token) % 4)).decode()
    assert decoded == text.replace(KEY, result.placeholders["openai"])


def test_one_value_under_two_names_has_one_placeholder() -> None:
    result = scrubbed({"A": KEY, "B": KEY}, first=KEY, second=KEY + "\n")
    assert result.placeholders["first"] == result.placeholders["second"] == result.env["A"] == result.env["B"]


def test_a_credential_within_a_longer_one_does_not_break_it() -> None:
    result = scrubbed({"LONG": f"{KEY}-and-more-0123456789", "SHORT": KEY}, short=KEY, long=f"{KEY}-and-more-0123456789")
    assert result.env == {"LONG": result.placeholders["long"], "SHORT": result.placeholders["short"]}


def test_a_short_credential_is_replaced_as_a_word_only() -> None:
    result = scrubbed({"PATH": "/usr/bin:/etc", "TOKEN": "etc", "H": "Bearer etc", "J": '{"t":"etc"}'}, short="etc")
    assert result.env["PATH"] == "/usr/bin:/etc"
    assert result.changed == ("TOKEN", "H", "J")


def test_every_credential_has_a_placeholder_although_no_variable_holds_it() -> None:
    result = scrubbed({"PATH": "/bin"})
    assert result.placeholders["openai"].startswith("sk-proj-")
    assert result.env == {"PATH": "/bin"}
    assert result.changed == ()


def test_an_empty_credential_changes_nothing() -> None:
    assert scrubbed({"A": "x y"}, empty="", blank=" \n") == Scrubbed(env={"A": "x y"}, placeholders={}, changed=())


@given(
    key=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=8, max_size=60).filter(lambda text: len(text.strip()) >= 8),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    seed=st.integers(),
)
def test_no_value_survives_in_any_text(key: str, before: str, after: str, seed: int) -> None:
    result = scrub({"X": before + key + after, "Y": key}, {"k": key}, random.Random(seed))
    assert key.strip() not in result.env["Y"]
    assert key.strip() not in result.env["X"] or key.strip() in result.placeholders["k"] + before + after
