"""Which places look different from inside."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from groyne.isolation import places
from groyne.isolation.spec import LaunchSpec, View


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine's own sockets are no part of these cases."""
    monkeypatch.setattr(places, "bound_sockets", frozenset)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A socket, as an agent of the session has it."""
    (tmp_path / "agent").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent/socket"))
        yield tmp_path / "agent/socket"


def seen(cwd: Path, *, hidden: tuple[Path, ...] = (), read_only: tuple[Path, ...] = (), **session: str) -> View:
    spec = LaunchSpec(argv=(), env={}, cwd=cwd, session=session, hidden_paths=hidden, read_only_paths=read_only)
    return places.view(spec)


def test_run_is_always_fresh(tmp_path: Path) -> None:
    assert "/run" in seen(tmp_path).fresh


def test_the_runtime_directory_is_fresh_wherever_it_is(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    assert str(tmp_path / "runtime") in seen(tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "runtime")).fresh


def test_a_runtime_directory_below_run_is_made_anew(tmp_path: Path) -> None:
    assert seen(tmp_path, XDG_RUNTIME_DIR="/run/user/1000").runtime_dir == "/run/user/1000"


@pytest.mark.parametrize("form", ["{}", "unix://{}", "unix:path={},guid=1", "{},123,0"])
def test_a_socket_that_the_session_names_hides_its_directory(tmp_path: Path, agent: Path, form: str) -> None:
    assert str(agent.parent) in seen(tmp_path, SSH_AUTH_SOCK=form.format(agent)).fresh


def test_a_socket_among_other_files_is_covered_alone(tmp_path: Path, agent: Path) -> None:
    (agent.parent / "notes").touch()
    view = seen(tmp_path, DOCKER_HOST=f"unix://{agent}")
    assert str(agent.parent) not in view.fresh
    assert str(agent) in view.covered


def test_the_working_and_the_home_directory_are_never_replaced(agent: Path) -> None:
    for view in (seen(agent.parent, SSH_AUTH_SOCK=str(agent)), seen(Path("/"), SSH_AUTH_SOCK=str(agent), HOME=str(agent.parent))):
        assert str(agent.parent) not in view.fresh
        assert str(agent) in view.covered


@pytest.mark.parametrize("directory", ["/tmp", "/"])  # noqa: S108
def test_a_runtime_directory_that_everything_shares_is_not_replaced(directory: str) -> None:
    assert directory not in seen(Path("/usr"), XDG_RUNTIME_DIR=directory).fresh


def test_a_link_is_hidden_by_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    assert seen(tmp_path, hidden=(tmp_path / "link",)).covered == (str(tmp_path / "real"),)


def test_a_hidden_directory_with_something_to_show_in_it_becomes_fresh(tmp_path: Path) -> None:
    view = seen(Path("/"), hidden=(tmp_path,), read_only=(tmp_path / "public",))
    assert str(tmp_path) in view.fresh
    assert str(tmp_path) not in view.covered
    assert view.read_only == (str(tmp_path / "public"),)


def test_places_that_the_user_may_not_look_into_are_no_error(tmp_path: Path) -> None:
    assert seen(tmp_path, XDG_RUNTIME_DIR="/root/closed/x", SSH_AUTH_SOCK="/root/closed/y", HOME="/root/closed").covered == ()
