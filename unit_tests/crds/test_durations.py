"""Durations read as Go reads them."""

from fractions import Fraction

import pytest

from crds.durations import audit_timeout, seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2s", Fraction(2)),
        ("500ms", Fraction(1, 2)),
        ("1m30s", Fraction(90)),
        ("1.5s", Fraction(3, 2)),
        (".5s", Fraction(1, 2)),
        ("1.s", Fraction(1)),
        ("1h", Fraction(3600)),
        ("3us", Fraction(3, 10**6)),
        ("3µs", Fraction(3, 10**6)),
        ("+1s", Fraction(1)),
        ("-1s", Fraction(-1)),
        ("0", Fraction(0)),
    ],
)
def test_a_duration_has_its_exact_value(text: str, value: Fraction) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "2", "s", ".s", "2 s", "2S", "1e1s", "2s\n", "--2s", "2d", "٢s", "1" * 65 + "s"])
def test_what_go_refuses_is_no_duration(text: str) -> None:
    assert seconds(text) is None


@pytest.mark.parametrize(("text", "good"), [("499ms", False), ("500ms", True), ("30s", True), ("30.000000001s", False), ("2", False)])
def test_an_audit_timeout_lies_between_half_a_second_and_thirty(text: str, good: bool) -> None:
    assert (audit_timeout(text) is None) is good
