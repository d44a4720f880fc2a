"""Metrics of several processes as one scrape: each one's families to JSON, and back with a label that says whose they are.

In: what a registry collects. Out: families in which every name stands once, as Prometheus' formats demand. Knows no process.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Metric

WORKER = "worker"

Families = list[dict[str, Any]]


def written(registry: CollectorRegistry) -> bytes:
    return json.dumps([plain(family) for family in registry.collect()], separators=(",", ":")).encode()


def plain(family: Metric) -> dict[str, Any]:
    samples = [(sample.name, sample.labels, sample.value) for sample in family.samples]
    return {"name": family.name, "text": family.documentation, "type": family.type, "unit": family.unit, "samples": samples}


def merged(said: Mapping[str, bytes]) -> Iterable[Metric]:
    """`said` by worker: what `written` gave there."""
    found: dict[str, Metric] = {}
    for worker, text in said.items():
        for family in json.loads(text):
            name = family["name"]
            metric = found.setdefault(name, Metric(name, family["text"], family["type"], family["unit"]))
            for sample, labels, value in family["samples"]:
                metric.add_sample(sample, {**labels, WORKER: worker}, value)
    return found.values()
