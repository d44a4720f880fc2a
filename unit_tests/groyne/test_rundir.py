"""The run directory: nobody else reads it, it is gone at the end, and what a killed run left is gone at the next start."""

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from groyne.rundir import LONGEST, replace_file, run_directory, temporary_directory, user_directory

HOLD = """
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from groyne.rundir import run_directory
with run_directory(Path(sys.argv[1])) as made:
    made.write("sds.json", "hunter2")
    print(made.private, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place():
    """A temporary directory with a short name."""
    with tempfile.TemporaryDirectory(prefix="rundir-") as name:
        yield Path(name)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def other_run(place):
    """Another run, and its private directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, Path(process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_secrets_are_readable_by_their_owner_alone(place):
    with run_directory(place) as made:
        made.write("sds.json", "value")
        assert mode(made.private) == 0o700
        assert mode(made.private / "sds.json") == 0o600
        assert mode(made.private.parent) == 0o700
        assert mode(made.private.parent.parent) == 0o700


def test_what_the_command_may_read_is_readable(place):
    with run_directory(place) as made:
        path = made.publish("ca.pem", b"cert")
        assert (path.parent, mode(path), mode(made.public)) == (made.public, 0o644, 0o755)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277])
def test_modes_do_not_depend_on_the_umask(place, umask):
    before = os.umask(umask)
    try:
        replace_file(place / "a", b"x", 0o600)
    finally:
        os.umask(before)
    assert mode(place / "a") == 0o600


def test_a_file_is_replaced_as_a_whole(place):
    with run_directory(place) as made:
        made.write("a", "one")
        held = (made.private / "a").open()
        made.write("a", "two")
        with held:
            assert held.read() == "one"
        assert (made.private / "a").read_text() == "two"
        assert [path.name for path in made.private.iterdir()] == ["a"]


def test_nothing_is_written_through_a_link(place):
    (place / "elsewhere").write_text("mine")
    (place / ".a.new").symlink_to(place / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        replace_file(place / "a", b"x", 0o600)
    assert (place / "elsewhere").read_text() == "mine"


def test_a_file_that_is_no_longer_needed_is_removed_and_may_be_missing(place):
    with run_directory(place) as made:
        made.write("a", "x")
        made.remove("a")
        made.remove("a")
        assert list(made.private.iterdir()) == []


def test_it_is_gone_at_the_end_whatever_happened(place):
    with suppress(RuntimeError), run_directory(place) as made:
        made.write("a", "x")
        raise RuntimeError
    assert list(user_directory(place).glob("run-*")) == []


def test_a_killed_run_is_removed_at_the_next_start(place, other_run):
    process, private = other_run
    assert (private / "sds.json").exists()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (private / "sds.json").exists()
    with run_directory(place):
        assert not private.parent.exists()


def test_a_run_that_goes_on_is_left_alone(place, other_run):
    _, private = other_run
    with run_directory(place) as made:
        assert (private / "sds.json").exists()
        assert made.private != private


def test_the_longest_name_that_is_allowed_leaves_room_for_the_sockets(place):
    parent = place / ("x" * (LONGEST - len(str(place)) - len(f"//groyne-{os.getuid()}")))
    parent.mkdir()
    with run_directory(parent) as made, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made.private / "admin.sock"))


def test_what_is_half_removed_already_is_removed(place):
    (user_directory(place) / "run-x" / "private").mkdir(parents=True)
    with run_directory(place) as made:
        assert [path.name for path in made.private.parent.parent.glob("run-*")] == [made.private.parent.name]


def test_a_directory_that_others_can_read_is_refused(place):
    user_directory(place).chmod(0o750)
    with pytest.raises(PermissionError, match="only you can read"), run_directory(place):
        pass


def test_a_link_is_refused(place):
    (place / "elsewhere").mkdir(mode=0o700)
    (place / f"groyne-{os.getuid()}").symlink_to(place / "elsewhere")
    with pytest.raises(PermissionError), run_directory(place):
        pass
    assert list((place / "elsewhere").iterdir()) == []


def test_somebody_elses_directory_is_refused(place, monkeypatch):
    (place / "groyne-4711").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    if (place / "groyne-4711").stat().st_uid == 4711:
        pytest.skip("this user has the number that nobody should have")
    with pytest.raises(PermissionError, match="remove it, or set TMPDIR"), run_directory(place):
        pass


@pytest.mark.parametrize("parent", ["missing", "file", "file/below"])
def test_where_no_directory_can_be_made_the_remedy_is_named(place, parent):
    (place / "file").touch()
    with pytest.raises(OSError, match="set TMPDIR to one where you can write"), run_directory(place / parent):
        pass


def test_a_name_that_no_socket_can_have_is_refused(place):
    with pytest.raises(ValueError, match="shorter"), run_directory(place / ("x" * LONGEST)):
        pass


def test_tmpdir_is_obeyed_and_nothing_else_is_tried(place):
    assert temporary_directory({"TMPDIR": str(place / "missing"), "TEMP": "/"}) == place / "missing"
    assert temporary_directory({}) == temporary_directory({"TMPDIR": ""}) == Path("/tmp")  # noqa: S108 - only its name
