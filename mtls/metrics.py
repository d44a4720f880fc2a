"""Of every TLS edge: when its certificate ends, whether its files can be read, and who was turned away. Prefix `groyne_tls_`.

Labels are the edge, of which a process has a few, and reasons from a fixed list. What ends when is asked for when it is collected, so
that it counts down by itself.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from mtls.identity import Refusal

CERTIFICATE, AUTHORITIES = "certificate", "authorities"
EXCHANGED, FAILED = "exchanged", "failed"

Seconds = Callable[[], float]


class TlsMetrics:
    """One for a registry; may be called from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._left = Gauge(
            "groyne_tls_seconds_until_expiry",
            "Until the first certificate of the own chain ends, or the last of the authorities; negative: since then.",
            ("edge", "what"),
            registry=registry,
        )
        self._reloads = Counter("groyne_tls_reloads", "Changed files: exchanged, or refused.", ("edge", "result"), registry=registry)
        self._failing = Gauge(
            "groyne_tls_reload_failing", "1: the files cannot be used, what was read before is.", ("edge",), registry=registry
        )
        self._refused = Counter("groyne_tls_refused", "Peers turned away, by reason.", ("edge", "reason"), registry=registry)

    def edge(self, name: str, certificate: Seconds, authorities: Seconds | None) -> None:
        self._left.labels(name, CERTIFICATE).set_function(certificate)
        if authorities:
            self._left.labels(name, AUTHORITIES).set_function(authorities)
        for result in (EXCHANGED, FAILED):
            self._reloads.labels(name, result)
        self._failing.labels(name).set(0)

    def exchanged(self, edge: str) -> None:
        self._reloads.labels(edge, EXCHANGED).inc()

    def failing(self, edge: str, failing: bool) -> None:
        if failing:
            self._reloads.labels(edge, FAILED).inc()
        self._failing.labels(edge).set(int(failing))

    def refused(self, edge: str, reason: Refusal) -> None:
        self._refused.labels(edge, reason.value).inc()
