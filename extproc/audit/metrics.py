"""What is counted of audit: events by what became of them, and how many wait. Labels are fixed words, never a receiver or a profile."""

from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from extproc.audit.reasons import Reason


class AuditObserver(Protocol):
    def sent(self) -> None: ...
    def unwanted(self) -> None:
        """The condition did not hold."""

    def retried(self) -> None: ...
    def dropped(self, reason: Reason) -> None: ...
    def waiting(self, events: int) -> None: ...
    def logged(self) -> None: ...
    def not_logged(self) -> None: ...


class AuditMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        name = "groyne_extproc_audit"
        self._sent = Counter(f"{name}_webhooks_sent_total", "Audit events that their webhook took.", registry=registry)
        self._unwanted = Counter(f"{name}_webhooks_unwanted_total", "Audit events whose condition did not hold.", registry=registry)
        self._retries = Counter(f"{name}_webhooks_retries_total", "Attempts after the first.", registry=registry)
        self._dropped = Counter(f"{name}_webhooks_dropped_total", "Audit events that were not delivered.", ["reason"], registry=registry)
        self._waiting = Gauge(f"{name}_webhooks_waiting", "Audit events that wait to be sent.", registry=registry)
        self._lines = Counter(f"{name}_log_lines_total", "Lines of the audit log.", registry=registry)
        self._lost = Counter(f"{name}_log_dropped_total", "Lines of the audit log that were not written in time.", registry=registry)
        for reason in Reason:
            self._dropped.labels(reason.value)

    def sent(self) -> None:
        self._sent.inc()

    def unwanted(self) -> None:
        self._unwanted.inc()

    def retried(self) -> None:
        self._retries.inc()

    def dropped(self, reason: Reason) -> None:
        self._dropped.labels(reason.value).inc()

    def waiting(self, events: int) -> None:
        self._waiting.set(events)

    def logged(self) -> None:
        self._lines.inc()

    def not_logged(self) -> None:
        self._lost.inc()
