"""Prometheus metrics of the machinery, under the names that client-go and controller-runtime use, so that stock dashboards work.

In go the observers that the other modules call; out come a registry's series. Labels are bounded: verbs, resources' names and codes,
never an object's. The machinery works without this module.
"""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kube.objects import Resource
from kube.outcome import Outcome
from kube.queue_statistics import Statistics

QUEUE_SECONDS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 30, 60, 120, 300, 600, 1000)
CALL_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
METHODS = {"get": "GET", "list": "GET", "watch": "GET", "create": "POST", "update": "PUT", "delete": "DELETE"}


class QueueMetrics:
    """`kube.workqueue.QueueObserver`. What changes by itself is asked when it is collected."""

    def __init__(self, metrics: "Metrics", name: str) -> None:
        self._metrics, self._name = metrics, name
        # Looked up once: each time it is asked for, it is looked for under a lock.
        self._adds, self._retries = metrics.adds.labels(name, name), metrics.retries.labels(name, name)
        self._waits, self._works = metrics.waits.labels(name, name), metrics.works.labels(name, name)

    def opened(self, statistics: Callable[[], Statistics]) -> None:
        self._metrics.queues.statistics[self._name] = statistics

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def waited(self, seconds: float) -> None:
        self._waits.observe(seconds)

    def worked(self, seconds: float) -> None:
        self._works.observe(seconds)


class ReconcileMetrics:
    """`kube.reconcile.ReconcileObserver`."""

    def __init__(self, metrics: "Metrics", name: str) -> None:
        self._metrics, self._name = metrics, name
        self._workers, self._times = metrics.workers.labels(name), metrics.times.labels(name)
        self._reconciles = {outcome: metrics.reconciles.labels(name, outcome.value) for outcome in Outcome}

    def opened(self, workers: int) -> None:
        self._metrics.most_workers.labels(self._name).set(workers)

    def begun(self) -> None:
        self._workers.inc()

    def ended(self, outcome: Outcome, seconds: float) -> None:
        self._workers.dec()
        self._reconciles[outcome].inc()
        self._times.observe(seconds)
        if outcome in (Outcome.ERROR, Outcome.TERMINAL):
            self._metrics.errors.labels(self._name).inc()


class QueueCollector(Collector):
    """Gauges of all queues, read when they are asked for."""

    def __init__(self) -> None:
        self.statistics: dict[str, Callable[[], Statistics]] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        found = {name: read() for name, read in list(self.statistics.items())}
        yield gauge("workqueue_depth", "Keys that wait.", {name: each.depth for name, each in found.items()})
        unfinished = {name: each.unfinished for name, each in found.items()}
        yield gauge("workqueue_unfinished_work_seconds", "Seconds of work in progress, all keys together.", unfinished)
        longest = {name: each.longest_running for name, each in found.items()}
        yield gauge("workqueue_longest_running_processor_seconds", "How long the oldest key in work has been there.", longest)


def gauge(name: str, text: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=("name", "controller"))
    for queue, value in values.items():
        family.add_metric((queue, queue), value)
    return family


class Metrics:
    """Gives the observers. `host` is the API server's address, as it stands in `rest_client_*`."""

    def __init__(self, registry: CollectorRegistry, *, host: str) -> None:
        self._host = host.removeprefix("https://").removeprefix("http://")
        self.queues = QueueCollector()
        registry.register(self.queues)
        queue, controller = ("name", "controller"), ("controller",)
        self.adds = Counter("workqueue_adds", "Keys added.", queue, registry=registry)
        self.retries = Counter("workqueue_retries", "Keys put off.", queue, registry=registry)
        self.waits = Histogram(
            "workqueue_queue_duration_seconds", "From adding to taking.", queue, registry=registry, buckets=QUEUE_SECONDS
        )
        self.works = Histogram("workqueue_work_duration_seconds", "From taking to done.", queue, registry=registry, buckets=QUEUE_SECONDS)
        self.requests = Counter("rest_client_requests", "Calls of the API server.", ("code", "method", "host"), registry=registry)
        self.calls_time = Histogram(
            "rest_client_request_duration_seconds", "Until the answer.", ("verb", "host"), registry=registry, buckets=CALL_SECONDS
        )
        self.reconciles = Counter("controller_runtime_reconcile", "By what came of it.", ("controller", "result"), registry=registry)
        self.errors = Counter("controller_runtime_reconcile_errors", "That failed.", controller, registry=registry)
        self.times = Histogram("controller_runtime_reconcile_time_seconds", "Per reconcile.", controller, registry=registry)
        self.workers = Gauge("controller_runtime_active_workers", "At work now.", controller, registry=registry)
        self.most_workers = Gauge("controller_runtime_max_concurrent_reconciles", "As configured.", controller, registry=registry)
        self.leads = Gauge("leader_election_master_status", "1 for whoever holds the Lease.", ("name",), registry=registry)

    def calls(self, verb: str, _resource: Resource, code: int, seconds: float) -> None:
        """`kube.client.CallObserver`. A call without an answer counts as `<error>`, as in client-go."""
        self.requests.labels(str(code) if code else "<error>", METHODS.get(verb, "PATCH"), self._host).inc()
        self.calls_time.labels(METHODS.get(verb, "PATCH"), self._host).observe(seconds)

    def queue(self, name: str) -> QueueMetrics:
        return QueueMetrics(self, name)

    def reconcile(self, name: str) -> ReconcileMetrics:
        return ReconcileMetrics(self, name)

    def leading(self, name: str) -> Callable[[bool], None]:
        return lambda leads: self.leads.labels(name).set(1 if leads else 0)
