"""The word that was probably meant."""

import pytest

from crds.nearest import did_you_mean, nearest

FIELDS = ("statusCode", "body", "queryParams", "domains")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("status_code", "statusCode"), ("STATUSCODE", "statusCode"), ("domain", "domains"), ("queryparam", "queryParams")],
)
def test_case_separators_and_slips_do_not_hide_the_word(typed: str, meant: str) -> None:
    assert nearest(typed, FIELDS) == meant


def test_nothing_close_is_nothing_meant() -> None:
    assert nearest("zzz", FIELDS) is None
    assert did_you_mean("zzz", FIELDS) == ""


def test_a_novel_is_not_compared() -> None:
    assert nearest("domains" * 10**6, FIELDS) is None
