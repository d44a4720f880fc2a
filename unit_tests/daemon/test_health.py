"""What the port says, as text and as JSON, well and unwell."""

import json
from http import HTTPStatus

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from daemon.health import Answer, Checks, Health
from daemon.heartbeat import Heartbeat


class Rig:
    def __init__(self) -> None:
        self.now = 0.0
        self.checks = Checks()
        self.registry = CollectorRegistry()
        heartbeat = Heartbeat(clock=lambda: self.now, late=lambda _: None)
        self.health = Health(checks=self.checks, heartbeat=heartbeat, registry=self.registry)

    def ask(self, target: str, accept: str = "*/*") -> Answer:
        return self.health.answer(target, accept)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_while_the_loop_beats_the_process_is_healthy(rig: Rig) -> None:
    rig.now = 29
    assert rig.ask("/healthz") == Answer(status=HTTPStatus.OK, body=b"ok")


def test_after_half_a_minute_without_a_beat_it_is_not(rig: Rig) -> None:
    rig.now = 31
    answer = rig.ask("/healthz")
    assert answer.status == 503
    assert answer.body.decode() == "[-]loop failed: the event loop has not moved for 31 s\nhealthz check failed\n"


def test_a_check_that_fails_makes_it_unready_and_not_unhealthy(rig: Rig) -> None:
    rig.checks.add("informer/pods", lambda: "not synced yet")
    assert rig.ask("/readyz").status == 503
    assert rig.ask("/healthz").status == 200


def test_a_blocked_loop_is_unready_too(rig: Rig) -> None:
    rig.now = 31
    assert rig.ask("/readyz").status == 503


def test_the_body_lists_every_check_as_kubernetes_does(rig: Rig) -> None:
    rig.checks.add("informer/pods", lambda: None)
    rig.checks.add("informer/secrets", lambda: "403 Forbidden\nand more")
    assert rig.ask("/readyz").body.decode() == (
        "[+]loop ok\n[+]informer/pods ok\n[-]informer/secrets failed: 403 Forbidden and more\nreadyz check failed\n"
    )


def test_well_it_is_short_and_long_when_asked(rig: Rig) -> None:
    rig.checks.add("informer/pods", lambda: None)
    assert rig.ask("/readyz").body == b"ok"
    assert rig.ask("/readyz?verbose").body.decode() == "[+]loop ok\n[+]informer/pods ok\nreadyz check passed\n"


def test_json_for_those_who_accept_it(rig: Rig) -> None:
    rig.checks.add("informer/pods", lambda: "not synced yet")
    answer = rig.ask("/readyz", "application/json")
    assert (answer.status, answer.content_type) == (503, "application/json")
    assert json.loads(answer.body) == {
        "status": "failed",
        "checks": [{"name": "loop", "ok": True, "reason": ""}, {"name": "informer/pods", "ok": False, "reason": "not synced yet"}],
    }
    rig.checks.remove("informer/pods")
    assert json.loads(rig.ask("/readyz", "text/html, application/json;q=0.9").body)["status"] == "ok"


def test_a_check_is_replaced_by_its_name_and_may_be_removed_twice(rig: Rig) -> None:
    rig.checks.add("a", lambda: "no")
    rig.checks.add("a", lambda: None)
    assert rig.ask("/readyz").status == 200
    rig.checks.remove("a")
    rig.checks.remove("a")
    assert [finding.name for finding in rig.checks.findings()] == []


def test_a_check_that_raises_has_failed(rig: Rig) -> None:
    nothing: dict[str, str] = {}
    rig.checks.add("a", lambda: nothing["hunter2"])
    body = rig.ask("/readyz").body.decode()
    assert "[-]a failed: the check itself failed: KeyError\n" in body
    assert "hunter2" not in body


def test_a_failing_check_without_words_fails(rig: Rig) -> None:
    rig.checks.add("a", lambda: "")
    assert "[-]a failed: failed\n" in rig.ask("/readyz").body.decode()


def test_a_reason_is_redacted(rig: Rig) -> None:
    rig.checks.add("a", lambda: "Authorization: Bearer hunter2hunter2")
    assert b"hunter2" not in rig.ask("/readyz").body


def test_metrics_are_prometheus_text_unless_openmetrics_is_asked_for(rig: Rig) -> None:
    Counter("groyne_test", "x", registry=rig.registry).inc()
    plain, scraped = rig.ask("/metrics"), rig.ask("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert plain.content_type.startswith("text/plain; version=0.0.4")
    assert scraped.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert next(family.name for family in prometheus(plain.body.decode())) == "groyne_test"
    assert [family.name for family in openmetrics(scraped.body.decode())] == ["groyne_test"]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("target", ["/", "/healthz/", "/healthz/x", "/livez", "//metrics", "*", "", "/metrics%20", "metrics"])
def test_there_is_nothing_else(rig: Rig, target: str) -> None:
    assert rig.ask(target).status == 404


def test_what_is_no_target_is_refused(rig: Rig) -> None:
    assert rig.ask("http://[/healthz").status == 400


def test_a_proxy_may_ask_with_a_whole_url(rig: Rig) -> None:
    assert rig.ask("http://controller.test/healthz").status == 200
