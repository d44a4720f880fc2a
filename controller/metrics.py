"""Metrics of our own, prefix `groyne_`: what is looked after, what was distributed, when certificates end, how the loop does.

Labels never hold a host, a path or a value. What is counted by itself somewhere (templates, profiles) is asked for when it is collected, so
that it cannot drift; collecting happens in the port's threads. Series that are named after templates are so many at most: of a large
cluster, the certificates that end first.
"""

import heapq
import threading
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from daemon.process_metrics import ProcessMetrics

MOST_CERTIFICATES = 2000
"""Series, not templates: one of these has a CA, its leafs, and what it shows to ext-proc."""
NUDGED = ("patched", "failed")

Place = tuple[str, str]
"""Namespace and name of a template. Without a name: ext-proc's authority and certificate."""
Ends = Mapping[Literal["ca", "leaf", "client"], datetime]


class ControllerMetrics(ProcessMetrics):
    def __init__(self, registry: CollectorRegistry, *, most_certificates: int = MOST_CERTIFICATES) -> None:
        super().__init__(registry)
        self._registry = registry
        self._writes = Counter("groyne_secret_writes", "Unified Secrets written.", registry=registry)
        self._nudges = Counter("groyne_nudges", "Patches of pods after a Secret was written.", ("result",), registry=registry)
        for result in NUDGED:
            self._nudges.labels(result)
        self._ends = Certificates(most_certificates)
        registry.register(self._ends)

    def secret_written(self) -> None:
        self._writes.inc()

    def nudged(self, result: str) -> None:
        self._nudges.labels(result).inc()

    def certificates(self, namespace: str, template: str, ends: Ends) -> None:
        """All of a template's; what is not among them has no series any more."""
        self._ends.put((namespace, template), ends)

    def inventory(self, *, templates: Callable[[], int], profiles: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        """How many there are. `profiles` gives a copy: of each, its kind and whether it compiles as it is."""
        self._registry.register(Inventory(templates, profiles))


class Inventory(Collector):
    def __init__(self, templates: Callable[[], int], profiles: Callable[[], Iterable[tuple[str, bool]]]) -> None:
        self._templates, self._profiles = templates, profiles

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return self.families(0, {})

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self.families(self._templates(), Tally(self._profiles()))

    def families(self, templates: int, profiles: Mapping[tuple[str, bool], int]) -> list[GaugeMetricFamily]:
        counted = GaugeMetricFamily("groyne_profiles", "Profiles, and whether they compile as they are.", labels=("kind", "accepted"))
        for kind in ("SecurityProfile", "GlobalSecurityProfile"):
            for accepted in (True, False):
                counted.add_metric((kind, str(accepted).lower()), profiles.get((kind, accepted), 0))
        return [GaugeMetricFamily("groyne_templates", "SandboxTemplates that are looked after.", value=templates), counted]


class Certificates(Collector):
    def __init__(self, most: int) -> None:
        self._most = most
        self._ends: dict[Place, Ends] = {}
        self._lock = threading.Lock()

    def put(self, place: Place, ends: Ends) -> None:
        with self._lock:
            if ends:
                self._ends[place] = dict(ends)
            else:
                self._ends.pop(place, None)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [self.family()]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = self.family()
        for end, (namespace, template), kind in heapq.nsmallest(self._most, self.series()):
            family.add_metric((namespace, template, kind), end)
        return [family]

    def series(self) -> Iterator[tuple[float, Place, str]]:
        with self._lock:
            places = list(self._ends.items())
        return ((end.timestamp(), place, kind) for place, ends in places for kind, end in ends.items())

    def family(self) -> GaugeMetricFamily:
        text = "When a template's CA, its first leaf and its client certificate end, in seconds since 1970; of many, those that end first."
        return GaugeMetricFamily("groyne_certificate_expiration_timestamp_seconds", text, labels=("namespace", "template", "kind"))
