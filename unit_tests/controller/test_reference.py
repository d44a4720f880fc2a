"""docs/controller.md says what the program does: every setting, endpoint and metric, and none that is not there."""

import re

import pytest
from prometheus_client import CollectorRegistry

from controller.metrics import MOST_CERTIFICATES, ControllerMetrics
from controller.settings import Settings
from daemon.health import Checks, Health
from daemon.heartbeat import Heartbeat
from daemon.reference import page_of, with_table
from daemon.settings_words import table
from kube.metrics import Metrics

TEXT = page_of("controller").read_text(encoding="utf-8")


def test_the_table_of_settings_is_the_models() -> None:
    assert with_table(TEXT, "controller", Settings) == TEXT, "run `python -m controller.reference`"


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_has_a_row_and_says_what_it_means(field: str) -> None:
    (row,) = [row for row in table(Settings).splitlines() if row.startswith(f"| `--{field.replace('_', '-')}` ")]
    _, variable, value, default, meaning = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert variable == f"`GROYNE_{field.upper()}`"
    assert value
    assert default
    assert len(meaning) > 15
    assert meaning.endswith(".")


def registered() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Type and labels of every metric that is ours or follows the ecosystem's names."""
    registry = CollectorRegistry()
    Metrics(registry, host="api.test")
    ControllerMetrics(registry).inventory(templates=lambda: 0, profiles=list)
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for collector in registry._collector_to_names:
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = getattr(family, "_labelnames", ()) or getattr(collector, "_labelnames", ())
            found[name] = (family.type, tuple(labels))
    return {name: kind for name, kind in found.items() if not name.startswith(("process_", "python_"))}


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", TEXT, re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_every_metric_is_described_with_its_type_and_labels() -> None:
    assert documented() == registered()


def test_the_bound_on_certificates_is_as_said() -> None:
    assert f"At most {MOST_CERTIFICATES:,} series".replace(",", " ") in TEXT


def test_every_endpoint_is_there() -> None:
    health = Health(checks=Checks(), heartbeat=Heartbeat(clock=lambda: 0.0, late=lambda _: None), registry=CollectorRegistry())
    paths = re.findall(r"^\| `(/\w+)` \|", TEXT, re.MULTILINE)
    assert len(paths) == 3
    assert all(health.answer(path, "").status == 200 for path in paths)
