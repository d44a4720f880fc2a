"""Every way in which people and programs change manifests is noticed, more than once."""

import asyncio
import os
import shutil

import pytest

from groyne.watch import edits, fingerprint

SOON = 50


def write(path, text):
    path.write_text(text)


def replace(path, text):
    """As editors do it: another file takes the name."""
    path.with_name("new").write_text(text)
    path.with_name("new").replace(path)


def noticed(path, *changes):
    """Makes each change once the one before it was noticed; returns how many were."""

    async def follow():
        changed = edits(path, look_every_ms=SOON)
        for number, change in enumerate(changes):
            waiting = asyncio.ensure_future(anext(changed))
            # The watch begins inside; what changes earlier is found by looking.
            await asyncio.sleep(0)
            change()
            try:
                await asyncio.wait_for(waiting, 10)
            except TimeoutError:
                return number
        await changed.aclose()
        return len(changes)

    return asyncio.run(follow())


@pytest.mark.parametrize("whole", [True, False], ids=["a directory", "one file"])
def test_what_changes_between_the_reading_and_the_watch_is_a_change(tmp_path, whole):
    """An Envoy takes a second to start, and people save more than once."""
    file = tmp_path / "a.yaml"
    file.write_text("0")
    path = tmp_path if whole else file

    async def follow(since):
        changed = edits(path, since=since, look_every_ms=SOON)
        await asyncio.wait_for(anext(changed), 10)
        await changed.aclose()

    read = fingerprint(path)
    file.write_text("another")
    asyncio.run(follow(read))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(follow(fingerprint(path)), 10 * SOON / 1000))


@pytest.mark.parametrize("how", [write, replace])
@pytest.mark.parametrize("whole", [True, False], ids=["a directory", "one file"])
def test_a_file_may_be_written_or_replaced_again_and_again(tmp_path, how, whole):
    file = tmp_path / "a.yaml"
    file.write_text("0")
    changes = [lambda number=number: how(file, f"{number}") for number in range(10, 14)]
    assert noticed(tmp_path if whole else file, *changes) == len(changes)


def test_files_come_and_go(tmp_path):
    (tmp_path / "below").mkdir()
    added = tmp_path / "below" / "b.yaml"
    assert noticed(tmp_path, lambda: added.write_text("1"), added.unlink) == 2


def test_a_directory_may_be_removed_and_made_again(tmp_path):
    path = tmp_path / "policy"
    path.mkdir()
    write(path / "a.yaml", "1")

    def again():
        path.mkdir()
        write(path / "a.yaml", "2")

    assert noticed(path, lambda: shutil.rmtree(path), again, lambda: write(path / "a.yaml", "33"), lambda: write(path / "b.yaml", "4")) == 4


def test_a_link_may_be_turned_to_another_directory(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "a.yaml", name)
    path = tmp_path / "policy"
    path.symlink_to("one")

    def turn():
        (tmp_path / "turned").symlink_to("two")
        (tmp_path / "turned").replace(path)

    assert noticed(path, turn, lambda: write(tmp_path / "two" / "a.yaml", "edited")) == 2


def test_a_manifest_that_is_a_link_is_followed(tmp_path):
    (tmp_path / "policy").mkdir()
    target = tmp_path / "target"
    write(target, "1")
    (tmp_path / "policy" / "a.yaml").symlink_to(target)
    assert noticed(tmp_path / "policy", lambda: write(target, "22"), lambda: replace(target, "333")) == 2


def test_other_files_beside_a_single_one_do_not_count(tmp_path):
    """Its directory is watched, and may be somebody's home."""
    file, other = tmp_path / "a.yaml", tmp_path / "other"
    file.write_text("1")

    async def follow():
        changed = edits(file, look_every_ms=SOON)
        waiting = asyncio.ensure_future(anext(changed))
        for number in range(3):
            other.write_text(str(number))
            _, pending = await asyncio.wait([waiting], timeout=0.2)
            assert pending
        write(file, "22")
        await asyncio.wait_for(waiting, 10)
        await changed.aclose()

    asyncio.run(follow())


def test_nothing_yields_nothing(tmp_path):
    """A fingerprint stays the same while nothing changes, also where nothing is there."""
    write(tmp_path / "a.yaml", "1")
    assert fingerprint(tmp_path) == fingerprint(tmp_path)
    assert fingerprint(tmp_path / "missing") == fingerprint(tmp_path / "missing")
    before = fingerprint(tmp_path)
    os.utime(tmp_path / "a.yaml", ns=(1, 1))
    assert fingerprint(tmp_path) != before
