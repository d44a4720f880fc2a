"""A bound is stretched as much as the machine is slow, and never below what it was or beyond all sense."""

from itertools import count

import pytest

from e2e.kubernetes import slowness


@pytest.mark.parametrize(("rate", "factor"), [(0.5, 1), (1, 1), (2.5, 2.5), (100, slowness.MOST)])
def test_a_bound_is_stretched_as_much_as_the_machine_is_slow(monkeypatch, rate, factor):
    """`rate`: seconds on the wall for one of this thread's."""
    ticks = count()
    monkeypatch.setattr(slowness.time, "thread_time", lambda: next(ticks) / 1000)
    spent = iter((0.0, rate * slowness.WORK))
    monkeypatch.setattr(slowness.time, "monotonic", lambda: next(spent))
    assert slowness.allowed(3) == pytest.approx(3 * factor)
