"""The table of broken manifests: each is reported with its line, its reason and a remedy, quickly, and never with a traceback."""

import os
import re
import socket
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from manifests.load import load

BROKEN = Path(__file__).parent / "broken"
INDEX = YAML(typ="safe").load(BROKEN / "index.yaml")
READ = [entry for entry in INDEX if entry.get("stage", "load") == "load"]
FINE = "apiVersion: agents.kruise.io/v1alpha1\nkind: SecurityProfile\nmetadata: {name: fine}\nspec: {selector: {}}\n"


def test_the_table_is_complete():
    """Every file of the directory has one entry and there are at least sixty."""
    files = sorted(path.name for path in BROKEN.iterdir() if path.name != "index.yaml")
    assert sorted(entry["file"] for entry in INDEX) == files
    assert len(files) >= 60


@pytest.mark.parametrize("entry", READ, ids=[entry["file"] for entry in READ])
def test_a_broken_manifest_is_located_and_explained(entry):
    """What is reported is exactly what the table says, in order."""
    problems = load(BROKEN / entry["file"]).problems
    assert [(each.line, each.problem.reason) for each in problems] == [(each["line"], each["reason"]) for each in entry["expect"]]
    for given, expected in zip(problems, entry["expect"], strict=True):
        assert expected["contains"] in given.problem.message
        assert "hunter2" not in str(given)
        assert str(given).isprintable()


def test_all_of_them_at_once_take_nothing_away_from_each_other():
    """Read as one directory, each file reports what it reports alone."""
    together = load(BROKEN)
    reported = {(Path(each.file).name, each.line, each.problem.reason) for each in together.problems}
    for entry in READ:
        for expected in entry["expect"]:
            assert (entry["file"], expected["line"], expected["reason"]) in reported


def fifo(path: Path) -> None:
    os.mkfifo(path / "a.yaml")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path / "a.yaml"))


def device(path: Path) -> None:
    (path / "a.yaml").symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    (path / "a.yaml").symlink_to(path / "nowhere")


def link_to_itself(path: Path) -> None:
    (path / "a.yaml").symlink_to(path / "a.yaml")


def gibibyte(path: Path) -> None:
    with (path / "a.yaml").open("wb") as file:
        file.truncate(2**30)


def hundred_thousand_documents(path: Path) -> None:
    (path / "a.yaml").write_text("---\napiVersion: v1\n" * 100_000)


def hundred_thousand_json_documents(path: Path) -> None:
    (path / "a.json").write_text("{}\n" * 100_000)


def million_values(path: Path) -> None:
    (path / "a.yaml").write_text("[" + "1," * 1_100_000 + "]")


def million_json_values(path: Path) -> None:
    (path / "a.json").write_text("[" + "1," * 1_100_000 + "1]")


def million_brackets(path: Path) -> None:
    (path / "a.yaml").write_text("[" * 1_000_000)


def million_repeated_keys(path: Path) -> None:
    (path / "a.yaml").write_text("a: b\n" * 1_000_000)


HOSTILE = {
    fifo: "NotAFile",
    unix_socket: "NotAFile",
    device: "NotAFile",
    dangling: "NotFound",
    link_to_itself: "Unreadable",
    gibibyte: "FileTooLarge",
    hundred_thousand_documents: "TooManyDocuments",
    hundred_thousand_json_documents: "TooManyDocuments",
    million_values: "TooLarge",
    million_json_values: "TooLarge",
    million_brackets: "TooDeep",
    million_repeated_keys: "TooManyProblems",
}


@pytest.mark.parametrize(("make", "reason"), HOSTILE.items(), ids=lambda value: getattr(value, "__name__", value))
def test_what_could_hang_or_fill_memory_is_refused_in_time(make, reason, tmp_path):
    """Refused with file and line; on a quiet machine within two seconds (twice that is allowed here), and a good file beside it is read."""
    make(tmp_path)
    (tmp_path / "0.yaml").write_text(FINE)
    began = time.process_time()
    manifests = load(tmp_path)
    assert time.process_time() - began < 4
    assert list(manifests.profiles) == [("default", "fine")]
    assert manifests.broken
    found = [each for each in manifests.problems if each.problem.reason == reason]
    assert found
    assert re.match(r"\S+/a\.(yaml|json):\d+: error: ", str(found[0]))
