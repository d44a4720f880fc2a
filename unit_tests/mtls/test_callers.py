"""One certificate, many calls."""

from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from mtls import callers
from mtls.callers import Callers
from mtls.identity import IdentityError, Refusal
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers
from unit_tests.mtls.pki import CLIENT, HOUR, SERVER, authority, leaf, pem, wall, write

ROOT = authority()


class Bench:
    def __init__(self, directory) -> None:
        self.ahead = timedelta()
        self.registry = CollectorRegistry()
        files = write(directory, leaf(ROOT, SERVER), ROOT)
        keeper = Keeper(files, now=lambda: wall() + self.ahead, metrics=TlsMetrics(self.registry))
        self.callers = Callers(keeper, Peers.of(CLIENT))

    def refusal(self, shown: bytes | None) -> Refusal:
        with pytest.raises(IdentityError) as caught:
            self.callers.identify(shown)
        reason = caught.value.reason
        assert self.registry.get_sample_value("groyne_tls_refused_total", {"edge": "the other side", "reason": reason.value}) == 1
        return reason


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_a_connection_that_says_nothing_of_its_peer_is_nobodys_and_that_is_counted(bench):
    assert bench.refusal(None) is Refusal.NO_CERTIFICATE


def test_the_first_of_a_chain_is_the_callers(bench):
    assert str(bench.callers.identify(leaf(authority("issuing", above=ROOT), CLIENT).certificate_pem)) == CLIENT


def test_what_is_remembered_is_nobody_who_was_refused(bench):
    shown = pem(leaf(ROOT, SERVER).certificate)
    assert bench.refusal(shown) is Refusal.WRONG_ID
    with pytest.raises(IdentityError):
        bench.callers.identify(shown)


@pytest.mark.parametrize(("ahead", "reason"), [(2 * HOUR, Refusal.EXPIRED), (-2 * HOUR, Refusal.NOT_YET_VALID)])
def test_the_time_is_looked_at_for_each_call(bench, ahead, reason):
    shown = pem(leaf(ROOT, CLIENT).certificate)
    bench.callers.identify(shown)
    bench.ahead = ahead
    assert bench.refusal(shown) is reason


def test_so_many_are_remembered_at_most(bench, monkeypatch):
    monkeypatch.setattr(callers, "REMEMBERED", 2)
    for _ in range(4):
        bench.callers.identify(pem(leaf(ROOT, CLIENT).certificate))
    assert len(bench.callers._known) == 2
