"""What a scrape shows of the controller, and what it does not."""

import threading
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from controller.metrics import ControllerMetrics

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ENDS = "groyne_certificate_expiration_timestamp_seconds"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ControllerMetrics:
    return ControllerMetrics(registry, most_certificates=4)


def series(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    """By the values of the labels, in the order of the labels' names."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {tuple(each.labels.values()): each.value for family in families for each in family.samples if each.name == name}


def test_the_version_is_a_label(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    assert series(registry, "groyne_build_info") == {(version("groyne"),): 1}


def test_the_process_is_measured_too(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    assert series(registry, "process_resident_memory_bytes")[()] > 1e6


def test_writes_and_nudges_are_counted_from_nought(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    assert series(registry, "groyne_secret_writes_total") == {(): 0}
    assert series(registry, "groyne_nudges_total") == {("patched",): 0, ("failed",): 0}
    metrics.secret_written()
    metrics.nudged("patched")
    metrics.nudged("patched")
    assert series(registry, "groyne_secret_writes_total") == {(): 1}
    assert series(registry, "groyne_nudges_total")[("patched",)] == 2


def test_the_loops_lag_is_a_histogram(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    metrics.lag(0.02)
    metrics.lag(3)
    found = series(registry, "groyne_event_loop_lag_seconds_bucket")
    assert (found[("0.01",)], found[("0.025",)], found[("2.5",)], found[("5.0",)]) == (0, 1, 1, 2)


def test_there_are_no_series_of_when_series_were_made(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    metrics.secret_written()
    assert b"_created" not in generate_latest(registry)


def test_a_templates_certificates_are_shown_as_long_as_it_has_them(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    metrics.certificates("team-a", "x", {"ca": NOW + timedelta(days=10), "leaf": NOW})
    assert series(registry, ENDS) == {
        ("ca", "team-a", "x"): (NOW + timedelta(days=10)).timestamp(),
        ("leaf", "team-a", "x"): NOW.timestamp(),
    }
    metrics.certificates("team-a", "x", {"ca": NOW})
    assert series(registry, ENDS) == {("ca", "team-a", "x"): NOW.timestamp()}
    metrics.certificates("team-a", "x", {})
    metrics.certificates("team-a", "x", {})
    assert series(registry, ENDS) == {}


def test_of_many_certificates_those_that_end_first_are_shown(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    for number in range(100):
        metrics.certificates("team-a", f"x{number:03}", {"ca": NOW + timedelta(days=number), "leaf": NOW + timedelta(days=number)})
    assert {template for _, _, template in series(registry, ENDS)} == {"x000", "x001"}
    metrics.certificates("team-a", "x000", {})
    assert {template for _, _, template in series(registry, ENDS)} == {"x001", "x002"}


def test_certificates_of_one_moment_are_no_stumbling_block(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    for number in range(9):
        metrics.certificates("team-a", f"x{number}", {"ca": NOW})
    assert len(series(registry, ENDS)) == 4


def test_what_is_looked_after_is_asked_for_when_it_is_collected(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    profiles = [("SecurityProfile", True), ("SecurityProfile", True), ("SecurityProfile", False)]
    templates = ["a"]
    metrics.inventory(templates=lambda: len(templates), profiles=lambda: list(profiles))
    templates.append("b")
    assert series(registry, "groyne_templates") == {(): 2}
    assert series(registry, "groyne_profiles") == {
        ("true", "SecurityProfile"): 2,
        ("false", "SecurityProfile"): 1,
        ("true", "GlobalSecurityProfile"): 0,
        ("false", "GlobalSecurityProfile"): 0,
    }


def test_collecting_beside_changes_gives_whole_answers(registry: CollectorRegistry, metrics: ControllerMetrics) -> None:
    failed: list[BaseException] = []

    def scrape() -> None:
        try:
            for _ in range(50):
                generate_latest(registry)
        except BaseException as error:  # noqa: BLE001 - of whatever kind: the test's thread must hear of it
            failed.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    number = 0
    while thread.is_alive():
        number += 1
        metrics.certificates("team-a", f"x{number % 500}", {"ca": NOW} if number % 3 else {})
    thread.join()
    assert not failed
