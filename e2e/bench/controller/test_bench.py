"""The controller's benchmark, quickly, and how it judges. A gross loss of speed fails here, a busy machine does not; a write too many always."""

import pytest

from e2e.bench.controller.__main__ import run
from e2e.bench.controller.cases import FULL, NORMAL, QUICK, Case
from e2e.bench.controller.process import lag, total
from e2e.bench.controller.report import Report, as_json, percentile
from e2e.bench.controller.stages import Measured
from e2e.cluster import Missing

pytestmark = pytest.mark.timeout(600)
CHOSEN = ("policies", "intercepted")
METRICS = """\
# HELP workqueue_depth Keys that wait.
workqueue_depth{controller="order",name="order"} 2.0
workqueue_depth{controller="nudge",name="nudge"} 1.0
workqueue_depth_else{controller="nudge"} 7.0
"""


@pytest.fixture(scope="module")
def report() -> Report:
    try:
        return run([case for case in QUICK if case.name in CHOSEN], progress=lambda _: None)
    except Missing as lack:
        pytest.skip(str(lack))


@pytest.mark.cluster
def test_everything_is_written_without_gross_delay(report: Report):
    assert not report.missed, as_json(report)


@pytest.mark.cluster
def test_a_start_with_nothing_changed_writes_nothing(report: Report):
    assert [found.writes_again for found in report.cases] == [[] for _ in CHOSEN]


@pytest.mark.cluster
def test_every_edit_came_to_its_secret(report: Report):
    assert [len(found.edits) for found in report.cases] == [0, 20]


def measured(case: Case, **more) -> Measured:
    """As if each target had been met."""
    seen = {"first": 1.0, "done": {"policies": 4.0, "labels": 4.0}, "cpu": 1.0, "megabytes": 100, "edits": [0.1] * case.edits}
    return Measured(case=case, **{**seen, **more})


def missed(case: Case, **more) -> list[str]:
    return [title.partition(": ")[2] for title in Report(cases=[measured(case, **more)]).missed]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({}, []),
        ({"done": {"policies": 50.0, "labels": 4.0, "statuses": 1.0}}, ["from cold"]),
        ({"done": {"policies": 4.0, "labels": 4.0, "statuses": 500.0}}, []),
        ({"writes_again": ["patch /x 200"]}, ["writes after a start with nothing changed"]),
        ({"megabytes": 201}, ["peak memory"]),
        ({"lag": 0.5}, ["longest lag of the event loop"]),
        ({"lag": 0.25}, []),
        ({"edits": [0.1] * 197 + [0.4] * 3}, ["edit to Secret, p99"]),
        ({"edits": [0.1] * 198 + [0.4] * 2}, []),
    ],
)
def test_a_target_is_missed_by_what_it_names_alone(more, what):
    assert missed(NORMAL[2], **more) == what


def test_ten_times_as_many_may_take_half_as_much_longer_each():
    small, large = NORMAL[0], next(case for case in FULL if case.name == "policies-10")

    def judged(seconds: float) -> list[str]:
        return Report(cases=[measured(small), measured(large, done={"policies": seconds})]).missed

    assert not judged(1 + 1.5 * 30)
    assert judged(1 + 1.6 * 30)


def test_p99_of_a_hundred_is_the_largest_but_one():
    assert percentile(range(100), 99) == 98
    assert percentile([3], 99) == 3


def test_metrics_are_summed_by_their_whole_name():
    assert total(METRICS, "workqueue_depth") == 3
    assert total(METRICS, "workqueue_depth", "nudge") == 1


@pytest.mark.parametrize(("beats", "longest"), [(990, 0.1), (999, 0.25), (1000, 0.5), (1001, 0.5)])
def test_lag_is_the_bound_under_which_all_beats_were(beats: int, longest: float):
    buckets = {"0.1": 990.0, "0.25": 999.0, "0.5": 1000.0, "+Inf": 1001.0}
    text = "\n".join(f'groyne_event_loop_lag_seconds_bucket{{le="{bound}"}} {min(count, beats)}' for bound, count in buckets.items())
    assert lag(text) == longest
