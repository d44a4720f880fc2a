"""docs/ext-proc.md says what the program does: every setting, metric, source of identity and setting of Envoy's filter."""

import re

import pytest
from prometheus_client import CollectorRegistry

from daemon.reference import page_of, with_table
from daemon.settings_words import table
from dataplane.external_settings import READERS
from extproc.admission import IdentitySource
from extproc.audit.metrics import AuditMetrics
from extproc.edge.listening import TRANSPORTS
from extproc.metrics import ExtprocMetrics
from extproc.settings import Settings
from extproc.workers import Crew
from policy.mcp import MAX_BODY

TEXT = page_of("extproc").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return [name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


def test_the_table_of_settings_is_the_models():
    assert with_table(TEXT, "extproc", Settings) == TEXT, "run `python -m extproc.reference`"


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_says_what_it_means(field):
    (row,) = [row for row in table(Settings).splitlines() if row.startswith(f"| `--{field.replace('_', '-')}` ")]
    *_, meaning = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
    assert len(meaning) > 5
    assert meaning.endswith(".")


def registered():
    registry = CollectorRegistry()
    ExtprocMetrics(registry)
    AuditMetrics(registry)
    Crew(Settings(workers=2, plaintext=True), (), registry)
    found = {}
    for collector in registry._collector_to_names:
        for family in collector.collect():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, tuple(getattr(collector, "_labelnames", ())))
    return {name: kind for name, kind in found.items() if not name.startswith(("process_", "python_"))}


def test_every_metric_is_described_with_its_type_and_labels():
    rows = re.findall(r"^\| `(\w+)` \| (gauge|counter|histogram) \|([^|]*)\|", TEXT, re.MULTILINE)
    assert {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows} == registered()


def test_every_setting_of_envoys_filter_is_described():
    assert first_cells(section("Envoy's filter")) == list(READERS)


def test_every_source_of_identity_is_described():
    assert first_cells(section("Whose request it is")) == [source.value for source in IdentitySource]


def test_the_bound_on_bodies_and_the_transports_are_as_said():
    assert TEXT.count(f"{MAX_BODY // 1024} KiB") == 2
    assert set(TRANSPORTS) == {"h2corn", "grpcio"}
