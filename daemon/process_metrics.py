"""Metrics that every process of ours has: what the ecosystem's libraries tell of a process, its version, and how its loop does.

In: a registry. A process's own metrics are a subclass with its own names; what is here has the same name and the same buckets everywhere,
so that processes can be read beside each other. It knows nothing of what they do.
"""

from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ProcessMetrics:
    """Methods may be called from the event loop alone; the registry may be read from anywhere."""

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # client_golang has none, and they double what a scrape holds
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        build = Gauge("groyne_build_info", "1; the version is a label.", ("version",), registry=registry)
        build.labels(version("groyne")).set(1)
        self._lag = Histogram("groyne_event_loop_lag_seconds", "How late the event loop was.", registry=registry, buckets=LAG_SECONDS)

    def lag(self, seconds: float) -> None:
        self._lag.observe(seconds)
