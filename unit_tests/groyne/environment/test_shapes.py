"""Placeholders have their credential's shape and nothing of its secret."""

import base64
import json
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groyne.environment.shapes import placeholder


def made(value: str, seed: int = 1) -> str:
    return placeholder(value, random.Random(seed))


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("sk-real", r"sk-[a-z]{4}"),
        ("sk-proj-AbC4567890abcdefXYZ01", r"sk-proj-groyne[A-Za-z0-9]{15}"),
        ("sk-ant-api03-Zx9_kf-83jdkslaPOIUQW12kd", r"sk-ant-api03-[A-Za-z0-9]{3}_[a-z]{2}-groyne[A-Za-z0-9]{12}"),
        ("ghp_16C7e42F292c6912E7710c838347Ae178B4a", r"ghp_groyne[A-Za-z0-9]{30}"),
        ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789", r"github_pat_[A-Za-z0-9]{22}_groyne[a-z0-9]{18}"),
        ("xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx", r"xoxb-\d{12}-\d{13}-groyne[A-Za-z]{18}"),
        ("AKIAIOSFODNN7EXAMPLE", r"AKIAGROYNE[A-Z0-9]{10}"),
        ("glpat-abcdefghij0123456789", r"glpat-groyne[a-z0-9]{14}"),
        ("hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567", r"hf_groyne[A-Za-z0-9]{28}"),
        ("tok_live_8fK2jd82jdLs93kdls", r"tok_live_groyne[A-Za-z0-9]{12}"),
        ("a23e4567-e89b-12d3-a456-426614174000", r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        ("d41d8cd98f00b204e9800998ecf8427e", r"[0-9a-f]{32}"),
        ("1234567890", r"\d{10}"),
    ],
)
def test_prefix_length_and_alphabet_stay(value: str, pattern: str) -> None:
    assert re.fullmatch(pattern, made(value))


def test_words_that_are_a_passphrase_are_not_taken_for_a_prefix() -> None:
    shape = made("correct-horse-battery-staple")
    assert not set(shape.split("-")) & {"correct", "horse", "battery", "staple"}


def test_a_jwt_stays_one_that_can_be_decoded_and_does_not_expire() -> None:
    parts = (b'{"alg":"RS256"}', b'{"sub":"me","exp":1}', b"s" * 64)
    value = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    header, claims, signature = made(value).split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert header == value.split(".")[0]
    assert (read["iss"], read["exp"]) == ("groyne", 4102444800)
    assert signature.startswith("groyne")


def test_a_document_stays_one_with_its_keys_and_addresses() -> None:
    value = {"type": "service_account", "private_key": "k3y-of-mine", "token_uri": "https://oauth.test/t", "scopes": ["s3cret"], "n": 1}
    read = json.loads(made(json.dumps(value)))
    assert read.keys() == value.keys()
    assert (read["type"], read["token_uri"], read["n"]) == ("service_account", "https://oauth.test/t", 1)
    assert read["private_key"] != value["private_key"]
    assert read["scopes"] != value["scopes"]


def test_a_pem_file_keeps_its_frame() -> None:
    value = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49\n-----END PRIVATE KEY-----"
    first, body, last = made(value).split("\n")
    assert (first, last) == ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----")
    assert body.startswith("groyne")
    assert len(body) == len("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49")


def test_one_seed_gives_one_placeholder() -> None:
    assert made("ghp_16C7e42F292c6912E7710c838347Ae178B4a") == made("ghp_16C7e42F292c6912E7710c838347Ae178B4a")


@given(st.text(min_size=1), st.integers())
def test_a_placeholder_is_never_the_value(value: str, seed: int) -> None:
    assert made(value, seed) != value


@given(st.from_regex(r"[A-Za-z0-9_-]{12,60}", fullmatch=True), st.integers())
def test_length_and_separators_stay(value: str, seed: int) -> None:
    shape = made(value, seed)
    if re.search(r"[A-Za-z0-9]", value) and not value.startswith("eyJ"):
        assert [character if character in "-_" else "x" for character in shape] == [c if c in "-_" else "x" for c in value]


@given(st.from_regex(r"[a-z]{2,6}[-_][A-Za-z0-9]{20,60}", fullmatch=True), st.integers())
def test_no_long_piece_of_the_secret_survives(value: str, seed: int) -> None:
    shape = made(value, seed)
    secret = value[re.match(r"[a-z]+[-_]", value).end() :]
    assert not any(secret[start : start + 12] in shape for start in range(len(secret) - 11) if "groyne" not in secret.lower())
