"""Where values come from when manifests do not hold them, and what is said when they do not come."""

import os
from pathlib import Path

import pytest

from crds.problem import Problem
from groyne.environment.sources import resolve, source_file, sources

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "TOKEN": "v4lue"}


def resolved(source: str, directory: Path = Path("/"), deadline: float = 10, **environ: str) -> bytes | Problem:
    return resolve("token", source, manifest_directory=directory, environ={**ENVIRON, **environ}, deadline=deadline)


def problem(source: str, directory: Path = Path("/"), **more: float) -> Problem:
    found = resolved(source, directory, **more)
    assert isinstance(found, Problem)
    return found


def test_annotations_name_a_source_for_each_key() -> None:
    assert sources({"groyne.dev/value-from.token": "env:A", "groyne.dev/other": "x", "y": "z"}) == {"token": "env:A"}


def test_a_variable_is_a_value() -> None:
    assert resolved("env:TOKEN") == b"v4lue"


def test_a_file_is_found_beside_its_manifest_and_loses_one_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"v4lue\r\n")
    assert resolved("file:key", tmp_path) == b"v4lue"
    assert resolved(f"file:{tmp_path}/key") == b"v4lue"


def test_a_tilde_is_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"v4lue")
    assert resolved("file:~/key", HOME=str(tmp_path)) == b"v4lue"


def test_a_command_runs_beside_its_manifest_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "a b").write_bytes(b"v4lue\n\n")
    assert resolved("exec:cat 'a b'", tmp_path) == b"v4lue\n"
    assert resolved("exec:echo $TOKEN; id") == b"$TOKEN; id"


def test_a_command_has_the_whole_environment_and_no_input() -> None:
    assert resolved("exec:sh -c 'cat; echo $TOKEN'") == b"v4lue"


def test_only_files_are_to_be_hidden(tmp_path: Path) -> None:
    assert source_file("file:~/key", manifest_directory=tmp_path, environ={"HOME": "/h"}) == Path("/h/key")
    assert source_file("file:key", manifest_directory=tmp_path, environ={}) == tmp_path / "key"
    assert source_file("exec:cat key", manifest_directory=tmp_path, environ={}) is None


@pytest.mark.parametrize("source", ["", "env", "env:", "file: ", "exec:", "vault:x", "TOKEN"])
def test_what_is_no_source_is_a_mistake_with_its_field(source: str) -> None:
    found = problem(source)
    assert (found.reason, found.fatal) == ("InvalidSource", True)
    assert found.field == "metadata.annotations[groyne.dev/value-from.token]"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("env:ABSENT", "ABSENT is not set"),
        ("file:/nowhere/key", "/nowhere/key cannot be read"),
        ("file:/dev/zero", "not a regular file"),
        ("file:/", "not a regular file"),
        ("exec:no-such-command-here", "cannot be run"),
        ("exec:'", "cannot be split"),
        ("exec:false", "status 1"),
        ("exec:sh -c 'kill -9 $$'", "status -9"),
        ("exec:true", "empty value"),
        ("exec:yes", "more than 64 KiB"),
        ("exec:sh -c 'exec >&-; sleep 60'", "did not finish in time"),
        ("exec:sleep 60", "did not finish within 0.3 s"),
    ],
)
def test_a_value_that_does_not_come_is_told_and_is_not_fatal(source: str, says: str) -> None:
    found = problem(source, deadline=0.3)
    assert (found.reason, found.fatal) == ("SourceUnavailable", False)
    assert says in found.message


def test_a_file_of_exactly_the_cap_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * 65536)
    assert resolved("file:key", tmp_path) == b"x" * 65536
    (tmp_path / "key").write_bytes(b"x" * 65537)
    assert "more than 64 KiB" in problem("file:key", tmp_path).message


def test_nothing_that_a_command_says_is_repeated() -> None:
    found = problem("exec:sh -c 'echo s3cret; echo s3cret >&2; exit 3'")
    assert "s3cret" not in repr(found)


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path) -> None:
    script = f"(sleep 0.2; touch {tmp_path}/late) >/dev/null 2>&1 & echo v4lue"
    assert resolved(f'exec:sh -c "{script}"') == b"v4lue"
    assert resolved("exec:sleep 0.4") != b"v4lue"
    assert not (tmp_path / "late").exists()
