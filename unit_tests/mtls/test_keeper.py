"""What is in force, and that nothing worse takes its place."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from mtls.identity import IdentityError, Purpose, Refusal
from mtls.keeper import LAST_RETRY, REREAD, Keeper
from mtls.material import MaterialError
from mtls.metrics import TlsMetrics
from unit_tests.kube.virtual import run
from unit_tests.mtls.pki import CLIENT, HOUR, SERVER, authority, files_in, leaf, swap, wall, write

ROOT = authority()


class Clock:
    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return wall() + self.ahead


async def every_second() -> AsyncGenerator[None, None]:
    while True:
        await asyncio.sleep(1)
        yield


class Bench:
    def __init__(self, directory, made=None, *authorities) -> None:
        self.directory = directory
        self.first = made or leaf(ROOT, SERVER)
        self.registry = CollectorRegistry()
        self.clock = Clock()
        self.files = write(directory, self.first, *(authorities or (ROOT,)))
        self.keeper = Keeper(self.files, now=self.clock, metrics=TlsMetrics(self.registry), told=every_second)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"groyne_tls_{name}", {"edge": "the other side", **labels})

    def reload(self) -> None:
        run(self.keeper.reload())

    @property
    def holds_the_first(self) -> bool:
        return self.keeper.current.certificate_pem == self.first.certificate_pem

    @property
    def failing(self) -> bool:
        return self.value("reload_failing") == 1


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_at_the_start_files_that_cannot_be_used_are_raised(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    files.key.write_bytes(leaf(ROOT, SERVER).key_pem)
    with pytest.raises(MaterialError):
        Keeper(files, now=wall, metrics=TlsMetrics(CollectorRegistry()))


def test_opened_it_waits_for_files_that_are_still_to_come(tmp_path):
    made = leaf(ROOT, SERVER)

    async def scenario() -> Keeper:
        async def writer() -> None:
            await asyncio.sleep(9)
            write(tmp_path, made, ROOT)

        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            return await Keeper.open(files_in(tmp_path), now=wall, metrics=TlsMetrics(CollectorRegistry()), purposes=[Purpose.SERVER])

    assert run(scenario()).current.certificate_pem == made.certificate_pem


def test_certificate_key_and_bundle_are_exchanged_as_one(bench):
    other = authority("other")
    new = leaf(other, SERVER)
    heard = []
    bench.keeper.on_exchange(heard.append)
    write(bench.directory, new, other)
    bench.reload()
    held = bench.keeper.current
    assert (held.certificate_pem, held.key_pem, held.authorities_pem) == (new.certificate_pem, new.key_pem, other.certificate_pem)
    assert heard == [held]
    assert bench.value("reloads_total", result="exchanged") == 1


def test_the_same_contents_are_no_exchange(bench):
    held = bench.keeper.current
    write(bench.directory, bench.first, ROOT)
    bench.reload()
    assert bench.keeper.current is held
    assert bench.value("reloads_total", result="exchanged") == 0


def test_half_a_pair_leaves_the_old_one_until_the_other_half_is_there(bench, caplog):
    new = leaf(ROOT, SERVER)
    bench.files.certificate.write_bytes(new.certificate_pem)
    bench.reload()
    assert bench.holds_the_first
    assert bench.failing
    bench.files.key.write_bytes(new.key_pem)
    bench.reload()
    assert bench.keeper.current.certificate_pem == new.certificate_pem
    assert not bench.failing


def test_a_bundle_that_cannot_be_read_keeps_the_new_pair_out_too(bench):
    write(bench.directory, leaf(ROOT, SERVER), ROOT)
    bench.files.authorities.write_text("-----BEGIN CERTIFICATE-----\n")
    bench.reload()
    assert bench.holds_the_first


def test_trouble_is_said_once_with_paths_and_no_contents_and_so_is_its_end(bench, caplog):
    caplog.set_level(logging.INFO)
    bench.files.key.write_bytes(leaf(ROOT, SERVER).key_pem)
    for _ in range(3):
        bench.reload()
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert str(bench.files.key) in record.why
    assert "PRIVATE" not in str(record.__dict__)
    assert bench.value("reloads_total", result="failed") == 3
    write(bench.directory, bench.first, ROOT)
    bench.reload()
    assert "again" in caplog.records[-1].message


@pytest.mark.parametrize("times", [{"begins": -2 * HOUR, "ends": -HOUR}, {"begins": HOUR / 2, "ends": HOUR}])
def test_what_is_out_of_its_time_takes_no_place_of_what_is_in_it(bench, times):
    write(bench.directory, leaf(ROOT, SERVER, **times), ROOT)
    bench.reload()
    assert bench.holds_the_first
    assert bench.failing
    assert bench.keeper.not_ready() is None


def test_what_begins_later_is_taken_when_it_begins(bench):
    new = leaf(ROOT, SERVER, begins=HOUR / 2, ends=2 * HOUR)
    write(bench.directory, new, ROOT)
    bench.reload()
    bench.clock.ahead = HOUR / 2 + timedelta(seconds=1)
    bench.reload()
    assert bench.keeper.current.certificate_pem == new.certificate_pem


def test_a_certificate_for_somebody_else_is_refused_and_both_are_named(bench, caplog):
    for made in (leaf(ROOT, CLIENT), leaf(ROOT)):
        write(bench.directory, made, ROOT)
        bench.reload()
        assert bench.holds_the_first
    assert f"is for {CLIENT}, and at the start it was for {SERVER}" in caplog.records[0].why


def test_a_bundle_of_ended_authorities_is_refused(bench):
    write(bench.directory, leaf(ROOT, SERVER), authority("ended", ends=-HOUR / 2))
    bench.reload()
    assert bench.holds_the_first


def test_at_the_start_an_ended_certificate_is_not_ready_and_a_new_one_mends_it(tmp_path):
    bench = Bench(tmp_path, leaf(ROOT, SERVER, begins=-2 * HOUR, ends=-HOUR))
    assert "ended on" in bench.keeper.not_ready()
    assert bench.value("seconds_until_expiry", what="certificate") < -3500
    write(bench.directory, leaf(ROOT, SERVER), ROOT)
    bench.reload()
    assert bench.keeper.not_ready() is None


def test_readiness_and_metric_follow_the_clock(bench):
    assert bench.keeper.not_ready() is None
    assert 3500 < bench.value("seconds_until_expiry", what="certificate") <= 3600
    bench.clock.ahead = HOUR
    assert "ended on" in bench.keeper.not_ready()
    assert bench.value("seconds_until_expiry", what="certificate") <= 0
    bench.clock.ahead = -2 * HOUR
    assert "begins on" in bench.keeper.not_ready()


def test_not_ready_once_nobody_can_be_verified(tmp_path):
    bench = Bench(tmp_path, leaf(ROOT, SERVER), authority("short", ends=HOUR / 2))
    bench.clock.ahead = HOUR * 3 / 4
    assert "last authority" in bench.keeper.not_ready()
    assert bench.value("seconds_until_expiry", what="authorities") < 0


def test_refused_peers_are_counted_by_reason(bench):
    bench.keeper.refused(IdentityError(Refusal.WRONG_ID, "it is another"))
    assert bench.value("refused_total", reason="wrong-id") == 1


def running(bench: Bench, seconds: float, *between) -> None:
    """For so long on virtual time; `between`: pairs of a moment and what happens then."""

    async def scenario() -> None:
        async def changes() -> None:
            for moment, act in between:
                await asyncio.sleep(moment - asyncio.get_running_loop().time())
                act()

        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(bench.keeper.run())
            group.create_task(changes())

    with pytest.raises(TimeoutError):
        run(scenario())


def counted(bench: Bench, monkeypatch) -> list[float]:
    """When files were read."""
    times: list[float] = []
    reload = bench.keeper.reload

    async def reloading() -> None:
        times.append(asyncio.get_running_loop().time())
        await reload()

    monkeypatch.setattr(bench.keeper, "reload", reloading)
    return times


def test_a_change_is_read_at_the_next_moment(bench, monkeypatch):
    new = leaf(ROOT, SERVER)
    times = counted(bench, monkeypatch)
    running(bench, 30, (10.5, lambda: write(bench.directory, new, ROOT)))
    assert bench.keeper.current.certificate_pem == new.certificate_pem
    assert times == [pytest.approx(11.2)]


def test_a_change_between_the_first_reading_and_the_watch_is_found(bench):
    new = leaf(ROOT, SERVER)
    write(bench.directory, new, ROOT)
    running(bench, 3)
    assert bench.keeper.current.certificate_pem == new.certificate_pem


def test_without_any_change_all_is_read_every_minute(bench, monkeypatch):
    times = counted(bench, monkeypatch)
    running(bench, 3 * REREAD + 10)
    assert len(times) == 3


def test_after_a_failure_it_tries_again_by_itself_less_and_less_often(bench, monkeypatch):
    times = counted(bench, monkeypatch)
    running(bench, 200, (1.5, lambda: bench.files.key.write_bytes(b"")))
    waits = [round(after - before) for before, after in itertools.pairwise(times)]
    assert waits[:5] == sorted(waits[:5])
    assert waits[0] <= 2
    assert max(waits) <= LAST_RETRY + 1


def test_a_swap_like_the_kubelets_is_one_exchange(tmp_path):
    volume = tmp_path / "volume"
    swap(volume, leaf(ROOT, SERVER), ROOT)
    registry = CollectorRegistry()
    keeper = Keeper(files_in(volume), now=wall, metrics=TlsMetrics(registry), told=every_second)
    new = leaf(ROOT, SERVER)

    async def scenario() -> None:
        async with asyncio.timeout(5):
            await keeper.run()

    swap(volume, new, ROOT)
    with pytest.raises(TimeoutError):
        run(scenario())
    assert keeper.current.certificate_pem == new.certificate_pem
