"""Kubernetes' name syntaxes, a trailing newline included."""

from collections.abc import Callable

import pytest

from crds import names

Check = Callable[[str], str | None]


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.subdomain, "a"),
        (names.subdomain, "a-1.b"),
        (names.subdomain, "x" * 253),
        (names.dns_label, "team-a"),
        (names.qualified, "app.kubernetes.io/name"),
        (names.qualified, "A_b.c"),
        (names.annotation_key, "Example.COM/Name"),
        (names.label_value, ""),
        (names.label_value, "A_b.c-1"),
        (names.data_key, "tls.crt"),
        (names.data_key, ".env"),
    ],
)
def test_a_good_name_is_not_remarked_upon(check: Check, text: str) -> None:
    assert check(text) is None


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (names.subdomain, ""),
        (names.subdomain, "A"),
        (names.subdomain, "a\n"),
        (names.subdomain, "-a"),
        (names.subdomain, "a..b"),
        (names.subdomain, "x" * 254),
        (names.dns_label, "a.b"),
        (names.dns_label, "x" * 64),
        (names.qualified, "/a"),
        (names.qualified, "a/"),
        (names.qualified, "a/b/c"),
        (names.qualified, "Example.com/a"),
        (names.qualified, "x" * 64),
        (names.label_value, "a\n"),
        (names.label_value, "-a"),
        (names.label_value, "x" * 64),
        (names.data_key, ""),
        (names.data_key, "a/b"),
        (names.data_key, ".."),
        (names.data_key, "x" * 254),
    ],
)
def test_a_bad_name_gets_a_sentence(check: Check, text: str) -> None:
    assert check(text)
