"""What is counted of audit."""

from prometheus_client import CollectorRegistry, generate_latest

from extproc.audit.metrics import AuditMetrics
from extproc.audit.reasons import Reason


def test_every_reason_is_there_from_the_start_and_nothing_else_is_a_label():
    registry = CollectorRegistry()
    metrics = AuditMetrics(registry)
    for told in (metrics.sent, metrics.unwanted, metrics.retried, metrics.logged, metrics.not_logged):
        told()
    metrics.dropped(Reason.TIMEOUT)
    metrics.waiting(3)
    text = generate_latest(registry).decode()
    for reason in Reason:
        expected = 1.0 if reason is Reason.TIMEOUT else 0.0
        assert f'groyne_extproc_audit_webhooks_dropped_total{{reason="{reason.value}"}} {expected}' in text
    assert "groyne_extproc_audit_webhooks_waiting 3.0" in text
    for name in ("webhooks_sent", "webhooks_unwanted", "webhooks_retries", "log_lines", "log_dropped"):
        assert f"groyne_extproc_audit_{name}_total 1.0" in text
