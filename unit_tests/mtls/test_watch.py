"""Real directories and real notifications: each test fails if nothing is told within seconds."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from mtls import watch
from mtls.files import TlsFiles
from mtls.material import look
from mtls.watch import moments
from unit_tests.mtls.pki import SERVER, authority, files_in, leaf, swap, write

ROOT = authority()
SOON = 3.0
NEVER = 30.0
"""Looking so seldom that only the kernel can have told."""


async def _seen_after(files: TlsFiles, change: Callable[[], None], look_every: float) -> None:
    """Returns once a moment comes at which the files look different from before the change."""
    before = look(files)
    loop = asyncio.get_running_loop()
    async with aclosing(moments(files.directories, look_every=look_every)) as told:
        loop.call_later(0.3, change)
        async for _ in told:
            if look(files) != before:
                return


def seen_after(files: TlsFiles, change: Callable[[], object], *, look_every: float) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(SOON):
            await _seen_after(files, lambda: (change(), None)[1], look_every)

    asyncio.run(scenario())


def test_the_kernel_tells_of_a_file_that_was_written(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    seen_after(files, lambda: write(tmp_path, leaf(ROOT, SERVER), ROOT), look_every=NEVER)


def test_the_kernel_tells_of_a_file_that_took_anothers_place(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    beside = tmp_path / "beside"
    beside.write_bytes(leaf(ROOT, SERVER).certificate_pem)
    seen_after(files, lambda: beside.rename(files.certificate), look_every=NEVER)


def test_the_kernel_tells_of_a_swap_like_the_kubelets_again_and_again(tmp_path):
    volume = tmp_path / "volume"
    files = swap(volume, leaf(ROOT, SERVER), ROOT)
    for _ in range(3):
        seen_after(files, lambda: swap(volume, leaf(ROOT, SERVER), ROOT), look_every=NEVER)


def test_a_bundle_in_a_directory_of_its_own_is_watched_too(tmp_path):
    pair = write(tmp_path / "pair", leaf(ROOT, SERVER), ROOT)
    bundle = write(tmp_path / "bundle", leaf(ROOT, SERVER), ROOT)
    files = TlsFiles(edge="x", certificate=pair.certificate, key=pair.key, authorities=bundle.authorities)
    seen_after(files, lambda: bundle.authorities.write_bytes(b""), look_every=NEVER)


async def _both(files: TlsFiles, first: Callable[[], object], second: Callable[[], object]) -> None:
    """Two changes under one watch; the second comes long after the first was seen."""
    async with asyncio.timeout(2 * SOON), aclosing(moments(files.directories, look_every=0.3)) as told:
        before = look(files)
        acts = [first, second]
        await anext(told)
        while acts:
            acts.pop(0)()
            while look(files) == before:
                await anext(told)
            before = look(files)
            await anext(told)


def test_a_directory_that_is_removed_and_made_again_is_found_and_watched_again(tmp_path):
    directory = tmp_path / "certificates"
    files = write(directory, leaf(ROOT, SERVER), ROOT)

    def again() -> None:
        shutil.rmtree(directory)
        write(directory, leaf(ROOT, SERVER), ROOT)

    asyncio.run(_both(files, again, lambda: write(directory, leaf(ROOT, SERVER), ROOT)))


def test_a_directory_that_comes_later_is_found(tmp_path):
    directory = tmp_path / "later"
    seen_after(files_in(directory), lambda: write(directory, leaf(ROOT, SERVER), ROOT), look_every=0.3)


def test_a_link_to_a_directory_that_leads_elsewhere_is_followed(tmp_path):
    write(tmp_path / "one", leaf(ROOT, SERVER), ROOT)
    write(tmp_path / "two", leaf(ROOT, SERVER), ROOT)
    link = tmp_path / "link"
    link.symlink_to("one")

    def turn() -> None:
        link.unlink()
        link.symlink_to("two")

    asyncio.run(_both(files_in(link), turn, lambda: write(tmp_path / "two", leaf(ROOT, SERVER), ROOT)))


@pytest.mark.parametrize("error", [OSError("OS file watch limit reached"), RuntimeError("no watcher")])
def test_where_the_kernel_can_watch_no_more_the_clock_is_left(tmp_path, monkeypatch, caplog, error):
    def refuse(*_args: object, **_named: object) -> Awaitable[None]:
        raise error

    monkeypatch.setattr(watch, "awatch", refuse)
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    seen_after(files, lambda: write(tmp_path, leaf(ROOT, SERVER), ROOT), look_every=0.2)
    assert len(caplog.records) == 1


def test_places_are_those_that_are_there_each_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    found = watch.places([tmp_path / "a", tmp_path / "b", tmp_path / "gone", tmp_path / "loop"])
    assert [Path(path) for path, _, _ in found] == [tmp_path / "a"]
