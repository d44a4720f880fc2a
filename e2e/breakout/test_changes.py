"""The wall while the host changes: replaced secrets, new sockets and later covers."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from e2e.breakout.wall import Wall

pytestmark = pytest.mark.isolation

# Waits until the test has changed something, then tries for some seconds; reached if it still works in the end.
UNTIL_REFUSED = """
    import time
    print("ready", flush=True)
    while not os.path.exists("changed"): time.sleep(0.01)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        try:
            if not ({attempt}): return False
        except OSError: return False
        time.sleep(0.02)
    return True
"""
# The same, but one single success is enough.
NEVER_ONCE = """
    import time
    print("ready", flush=True)
    while not os.path.exists("changed"): time.sleep(0.01)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        try:
            if {attempt}: return True
        except OSError: pass
"""


@pytest.fixture
def place(wall: Wall) -> Iterator[Path]:
    """A directory with a policy, a secret and a script, as examples have it."""
    place = Path(str(wall.world["base"])) / "place"
    (place / "deep").mkdir(parents=True)
    for name in ("secret.yaml", "profile.yaml", "deep/secret.yaml", "deep/agent.py"):
        (place / name).write_text(str(wall.world["text"]) if "secret" in name else "public")
    (wall.home / "changed").unlink(missing_ok=True)
    subprocess.run(["/bin/chown", "-R", f"{wall.user.uid or os.getuid()}", str(place)], check=True)
    yield place
    subprocess.run(["/bin/rm", "-r", str(place)], check=True)


def attempted(wall: Wall, body: str, change: Callable[[], None], **spec: object) -> str:
    """Starts the attempt, changes the host, and says how it ended."""
    driver = wall.driver(wall.argv(body), **spec)
    with subprocess.Popen(driver, cwd=wall.home, stdout=subprocess.PIPE, text=True, **wall.user.identity()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        change()
        (wall.home / "changed").touch()
        return process.stdout.read()


def replaced(path: Path, text: str) -> Callable[[], None]:
    """As editors do: a new file, renamed over the old one."""

    def replace() -> None:
        new = path.with_name(".new")
        new.write_text(text)
        new.chmod(0o644)
        new.rename(path)

    return replace


READABLE = 'world["text"].encode() in read("{path}")'


def test_a_replaced_secret_in_the_policy_directory_is_never_seen(wall: Wall, place: Path) -> None:
    secret = place / "deep/secret.yaml"
    body = NEVER_ONCE.format(attempt=READABLE.format(path=secret))
    change = replaced(secret, str(wall.world["text"]))
    assert wall.outside(f"return {READABLE.format(path=secret)}").reached
    assert "REFUSED" in attempted(wall, body, change, hidden=[str(secret), str(place / "secret.yaml")], read_only=[str(place)])


def test_the_rest_of_the_policy_directory_is_there(wall: Wall, place: Path) -> None:
    body = f'return read("{place}/profile.yaml") + read("{place}/deep/agent.py") == b"publicpublic"'
    assert wall.inside(body, hidden=[str(place / "deep/secret.yaml")], read_only=[str(place)]).reached


def test_nothing_in_a_sealed_policy_directory_can_be_written(wall: Wall, place: Path) -> None:
    for attempt in (f'open("{place}/profile.yaml", "a")', f'open("{place}/new.yaml", "w")', f'os.rename("{place}", "{place}2")'):
        refused = wall.inside(f"{attempt}; return True", hidden=[str(place / "secret.yaml")], read_only=[str(place)])
        assert not refused.reached, attempt


def test_a_replaced_secret_elsewhere_is_covered_again(wall: Wall, place: Path) -> None:
    """The control: the cover is lifted by the replacement, so that something must have put it back."""
    secret = place / "secret.yaml"
    body = UNTIL_REFUSED.format(attempt=READABLE.format(path=secret))
    change = replaced(secret, str(wall.world["text"]))
    assert "REFUSED" in attempted(wall, body, change, hidden=[str(secret)])


def test_a_secret_in_the_working_directory_is_covered_again(wall: Wall, place: Path) -> None:
    secret = place / "secret.yaml"
    body = f'os.chdir("{wall.home}")\n' + dedent(UNTIL_REFUSED.format(attempt=READABLE.format(path=secret)))
    change = replaced(secret, str(wall.world["text"]))
    assert "REFUSED" in attempted(wall, body, change, cwd=str(place), hidden=[str(secret)], read_only=[str(place)])


def test_a_socket_made_later_is_covered(wall: Wall, place: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    path = place / "later.sock"

    def listen() -> None:
        server.bind(str(path))
        server.listen(4096)
        path.chmod(0o777)

    attempt = f'socket.socket(socket.AF_UNIX).connect("{path}") is None'
    with server:
        assert "REFUSED" in attempted(wall, UNTIL_REFUSED.format(attempt=attempt), listen)
        assert wall.outside(f"return {attempt}").reached


def test_a_place_can_be_hidden_later(wall: Wall, place: Path) -> None:
    """The control: until then the command reads it."""
    path = place / "profile.yaml"
    first = f'assert read("{path}") == b"public"\n'
    body = first + dedent(UNTIL_REFUSED.format(attempt=f'b"public" in read("{path}")'))
    assert "REFUSED" in attempted(wall, body, lambda: None, hide_later=[str(path), str(place / "deep")])


def test_what_a_hidden_directory_shows_is_only_what_is_meant_to_be_shown(wall: Wall, place: Path) -> None:
    body = f'return os.listdir("{place}") == ["deep"] and read("{place}/deep/agent.py") == b"public"'
    assert wall.inside(body, hidden=[str(place)], read_only=[str(place / "deep")]).reached
