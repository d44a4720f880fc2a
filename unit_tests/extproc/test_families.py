"""Several processes' metrics are one scrape, in which each sample says whose it is."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_open_metrics
from prometheus_client.parser import text_string_to_metric_families as read
from prometheus_client.registry import Collector

from extproc.families import merged, written


def process(requests: int, *, extra: bool = False) -> bytes:
    registry = CollectorRegistry()
    Counter("requests", "Requests.", ("outcome",), registry=registry).labels("forwarded").inc(requests)
    Histogram("seconds", "Time.", registry=registry, buckets=(0.1, 1.0)).observe(0.5)
    if extra:
        Gauge("extra", "Of one alone.", registry=registry).set(float("inf"))
    return written(registry)


def scrape(encode, **said) -> str:
    class All(Collector):
        def collect(self):
            return merged(said)

    registry = CollectorRegistry()
    registry.register(All())
    return encode(registry).decode()


def test_every_sample_has_its_worker_and_every_name_stands_once():
    text = scrape(generate_latest, **{"1": process(3), "2": process(4, extra=True)})
    found = {family.name: family for family in read(text)}
    assert {
        (sample.labels["worker"], sample.labels["outcome"], sample.value)
        for sample in found["requests"].samples
        if sample.name == "requests_total"
    } == {
        ("1", "forwarded", 3.0),
        ("2", "forwarded", 4.0),
    }
    assert [sample.labels["worker"] for sample in found["extra"].samples] == ["2"]
    assert text.count("# TYPE seconds histogram") == 1


def test_what_is_read_as_openmetrics_is_well_formed():
    text = scrape(open_metrics, **{"1": process(3), "2": process(4)})
    assert {family.name for family in read_open_metrics(text)} == {"requests", "seconds"}


def test_without_workers_there_is_nothing():
    assert scrape(generate_latest) == ""
