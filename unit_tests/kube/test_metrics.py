"""Series under the names of client-go and controller-runtime, with labels that are bounded."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kube.client import Client
from kube.errors import ApiError
from kube.metrics import Metrics
from kube.objects import Key
from kube.reconcile import Controller, Result, TerminalError
from kube.workqueue import WorkQueue
from unit_tests.kube.fake_server import FakeServer
from unit_tests.kube.scripted import MAPS
from unit_tests.kube.virtual import run


class Scrape:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry, host="https://10.96.0.1:443")

    def value(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def test_a_call_is_counted_by_code_method_and_host_and_never_by_what_it_was_about(scrape):
    async def story():
        client = Client(FakeServer([MAPS]), field_manager="test", observer=scrape.metrics.calls)
        body = {"metadata": {"name": "x"}}
        await client.create(MAPS, body, namespace="default")
        for doing in (client.create(MAPS, body, namespace="default"), client.get(MAPS, Key("default", "none"))):
            with pytest.raises(ApiError):
                await doing
        await client.apply(MAPS, Key("default", "x"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})

    run(story())
    host = "10.96.0.1:443"
    for code, method in (("201", "POST"), ("409", "POST"), ("404", "GET"), ("200", "PATCH")):
        assert scrape.value("rest_client_requests_total", code=code, method=method, host=host) == 1
    assert scrape.value("rest_client_request_duration_seconds_count", verb="POST", host=host) == 2
    assert b"default" not in generate_latest(scrape.registry)


def test_a_call_that_nobody_answered_is_an_error(scrape):
    scrape.metrics.calls("get", MAPS, 0, 5.0)
    assert scrape.value("rest_client_requests_total", code="<error>", method="GET", host="10.96.0.1:443") == 1


def test_a_queue_says_what_waits_how_long_it_waited_and_how_long_it_was_worked_on(scrape):
    async def story():
        queue = WorkQueue(random=lambda: 0.5, observer=scrape.metrics.queue("things"))
        labels = {"name": "things", "controller": "things"}
        for key in "aab":
            queue.add(key)
        assert scrape.value("workqueue_depth", **labels) == 2
        assert scrape.value("workqueue_adds_total", **labels) == 2
        await asyncio.sleep(3)
        await queue.get()
        await asyncio.sleep(4)
        assert scrape.value("workqueue_depth", **labels) == 1
        assert scrape.value("workqueue_unfinished_work_seconds", **labels) == pytest.approx(4)
        assert scrape.value("workqueue_longest_running_processor_seconds", **labels) == pytest.approx(4)
        queue.done("a")
        queue.add_rate_limited("a")
        assert scrape.value("workqueue_queue_duration_seconds_sum", **labels) == pytest.approx(3)
        assert scrape.value("workqueue_work_duration_seconds_sum", **labels) == pytest.approx(4)
        assert scrape.value("workqueue_unfinished_work_seconds", **labels) == 0
        assert scrape.value("workqueue_retries_total", **labels) == 1

    run(story())


def test_reconciles_are_counted_by_what_came_of_them(scrape):
    def became(key):
        match key:
            case "later":
                return Result(requeue_after=1000)
            case "terminal":
                raise TerminalError("no use")
            case "error":
                raise ValueError("a bug")
        return Result()

    async def reconcile(key):
        assert scrape.value("controller_runtime_active_workers", controller="things") == 1
        await asyncio.sleep(0.25)
        return became(key)

    async def story():
        queue = WorkQueue(random=lambda: 0.5)
        controller = Controller("things", reconcile, queue, timeout=5, observer=scrape.metrics.reconcile("things"))
        async with asyncio.TaskGroup() as group:
            group.create_task(controller.run())
            for key in ("done", "later", "terminal", "error"):
                queue.add(key)
            await asyncio.sleep(1.001)
            queue.shut_down(drop=True)

    run(story())
    for result, count in (("success", 1), ("requeue_after", 1), ("terminal", 1), ("error", 1)):
        assert scrape.value("controller_runtime_reconcile_total", controller="things", result=result) == count
    assert scrape.value("controller_runtime_reconcile_errors_total", controller="things") == 2
    assert scrape.value("controller_runtime_reconcile_time_seconds_sum", controller="things") == pytest.approx(1.0)
    assert scrape.value("controller_runtime_active_workers", controller="things") == 0
    assert scrape.value("controller_runtime_max_concurrent_reconciles", controller="things") == 1


def test_who_leads_is_one_and_who_does_not_any_more_is_zero(scrape):
    leads = scrape.metrics.leading("lease")
    for is_leading in (True, False):
        leads(is_leading)
        assert scrape.value("leader_election_master_status", name="lease") == float(is_leading)


def test_what_is_scraped_can_be_parsed_and_every_series_has_a_help(scrape):
    scrape.metrics.queue("things").opened(lambda: WorkQueue(random=lambda: 0.5).statistics())
    families = list(text_string_to_metric_families(generate_latest(scrape.registry).decode()))
    assert {"workqueue_depth", "rest_client_requests", "controller_runtime_reconcile"} <= {each.name for each in families}
    assert all(each.documentation for each in families)
