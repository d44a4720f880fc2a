"""The benchmark, quickly: a gross loss of speed fails here, a busy machine does not.

What is judged is the processor time that Envoy spends on a request, beside the same Envoy without a policy: when others want
the cores, requests per second swing by half, this by a tenth.
"""

import shutil

import pytest

from e2e.bench.__main__ import run
from e2e.bench.load import MISSING, LoadError, read
from e2e.bench.report import Report

pytestmark = pytest.mark.timeout(240)
LEAST = {"two": 0.65, "others-exact": 0.65, "others-wildcard": 0.65, "crowd": 0.40}


@pytest.fixture(scope="module")
def report() -> Report:
    if not shutil.which("wrk"):
        pytest.skip(MISSING)
    return run(quick=True, rounds=3, seconds=1, progress=lambda _: None)


@pytest.mark.parametrize("name", LEAST)
def test_a_policy_does_not_grossly_slow_envoy_down(report, name):
    """Far below the target something has changed, not the weather."""
    rate = next(rate for rate in report.rates if rate.scenario.name == name)
    assert max(rate.ratio, rate.cpu_ratio) >= LEAST[name]


def test_compiling_and_reading_keep_their_limits(report):
    """With a tenth of the profiles, and therefore a wide margin."""
    assert not [cost for cost in report.costs if cost.missed]


def test_refused_requests_are_not_counted_as_speed():
    """An Envoy that refuses is fast."""
    text = "  100 requests in 1.00s, 1MB read\n  Non-2xx or 3xx responses: 100\nRequests/sec: 100.0"
    with pytest.raises(LoadError, match="Non-2xx"):
        read(text)
