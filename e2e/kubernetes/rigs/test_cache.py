"""What takes minutes is made once."""

import multiprocessing
import os
from pathlib import Path

import pytest

from e2e.cluster import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GROYNE_CACHE", str(tmp_path / "cache"))


def test_it_is_made_once(tmp_path):
    turns = []
    for _ in range(2):
        found = cache.made("thing", "k1", lambda directory: (turns.append(1), (directory / "file").write_text("made")))
        assert (found / "file").read_text() == "made"
    assert len(turns) == 1


def test_it_is_made_anew_for_another_key(tmp_path):
    made = [cache.made("thing", key, lambda directory: None) for key in ("k1", "k2")]
    assert made[0] != made[1]


def test_the_last_few_that_were_used_are_kept():
    for number in range(8):
        made = cache.made("thing", f"k{number}", lambda directory: None)
        os.utime(made, (number, number))
    other = cache.made("other-thing", "k", lambda directory: None)
    cache.made("thing", "k4", lambda directory: None)
    assert sorted(path.name for path in cache.root().glob("thing-*")) == ["thing-k4", "thing-k5", "thing-k6", "thing-k7"]
    assert other.is_dir()


def test_what_fails_leaves_nothing_behind(tmp_path):
    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.made("thing", "k1", fail)
    assert [path.name for path in cache.root().iterdir()] == ["thing.lock"]


def test_of_two_runs_at_once_one_makes_it_and_both_have_it(tmp_path):
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=cache.made, args=("thing", "k1", lambda directory: _count(tmp_path))) for _ in range(4)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(20)
    assert [run.exitcode for run in runs] == [0] * 4
    assert len(list(tmp_path.glob("made-*"))) == 1


def _count(directory: Path) -> None:
    (directory / f"made-{multiprocessing.current_process().pid}").touch()


def test_a_digest_tells_files_apart_by_name_and_by_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("a")
    two.write_text("a")
    assert cache.digest(files=[one]) != cache.digest(files=[two])
    before = cache.digest("text", files=[one])
    one.write_text("b")
    assert cache.digest("text", files=[one]) != before
    assert cache.digest("text") != cache.digest("other")
