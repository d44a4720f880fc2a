"""Which values hold, and which do not fit together."""

from typing import Any

import pytest
from pydantic import ValidationError

from controller.settings import Settings


def wrong(**given: Any) -> list[tuple[object, ...]]:
    with pytest.raises(ValidationError) as raised:
        Settings(**given)
    return [found["loc"] for found in raised.value.errors()]


def test_settings_in_code_depend_on_nothing_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROYNE_WORKERS", "99")
    assert Settings().workers == 16


def test_they_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Settings().workers = 9  # type: ignore[misc]


def test_the_defaults_fit_together() -> None:
    made = Settings()
    assert made.lease_retry < made.lease_renew_deadline < made.lease_duration


@pytest.mark.parametrize(
    "given",
    [
        {"lease_retry": 10},
        {"lease_renew_deadline": 15},
        {"lease_duration": 3},
        {"call_deadline": 60},
        {"metrics_cert": "tls.crt"},
        {"metrics_key": "tls.key"},
    ],
)
def test_what_does_not_fit_together_is_refused(given: dict[str, Any]) -> None:
    assert wrong(**given) == [()]


UNFENCED: dict[str, Any] = {"lease_duration": 8, "lease_renew_deadline": 5}


def test_a_call_that_could_outlive_the_lease_is_refused_by_name_where_there_is_a_lease() -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(**UNFENCED)
    (found,) = raised.value.errors()
    assert found["ctx"]["fields"] == ["call_deadline", "lease_duration"]
    assert "still be under way when another leads" in found["msg"]
    assert Settings(**UNFENCED, call_deadline=1.5).election.write_deadline == 1.5
    assert Settings(**UNFENCED, leader_election=False).call_deadline == Settings(**UNFENCED, once=True).call_deadline == 5


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workers", 0),
        ("workers", "many"),
        ("lease_retry", 0),
        ("lease_retry", "nan"),
        ("lease_retry", "inf"),
        ("nudge_rate", -1),
        ("health_port", 65536),
        ("sidecar_port", 0),
        ("namespace", "Team-A"),
        ("namespace", "team-a\n"),
        ("pod_namespace", ""),
        ("lease_name", "-x"),
        ("opt_in", "none"),
        ("opt_in_label", "groyne.dev/secrets"),
        ("opt_in_label", "a=b,c=d"),
        ("families", "ipv5"),
        ("log_level", "loud"),
        ("surprise", 1),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_field(field: str, value: object) -> None:
    assert wrong(**{field: value}) == [(field,)]


def test_of_a_list_the_wrong_entry_is_named() -> None:
    assert wrong(excluded_ranges=["10.0.0.0/8", "ten"]) == [("excluded_ranges", 1)]


@pytest.mark.parametrize("written", ["192.0.2.0/24, 2001:db8::/32", ["192.0.2.0/24", "2001:db8::/32"], "192.0.2.0/24,,2001:db8::/32,"])
def test_a_list_may_be_a_text_with_commas(written: object) -> None:
    assert Settings(excluded_ranges=written).excluded_ranges == ("192.0.2.0/24", "2001:db8::/32")


def test_a_single_address_stays_one() -> None:
    """The sidecar tells an address from a range by the slash."""
    assert Settings(allowed_private=("10.1.2.3",)).allowed_private == ("10.1.2.3",)


def test_an_empty_path_is_none() -> None:
    assert Settings(kubeconfig="").kubeconfig is None


def test_a_label_may_have_an_empty_value() -> None:
    assert Settings(opt_in_label="groyne.dev/secrets=").opt_in_label == "groyne.dev/secrets="
