"""Sockets are found where the kernel's list says to look, under the names they really have."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from groyne.isolation.sockets import bound_sockets, only_sockets

HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"


@pytest.fixture
def bound(tmp_path: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "bound"))
        yield tmp_path / "bound"


def proc(tmp_path: Path, *, lists: dict[str, str], cwd: dict[str, Path] | None = None) -> Path:
    """A /proc with these processes: its socket list is that of the process' network namespace."""
    made = tmp_path / "proc"
    for process, paths in lists.items():
        (made / process / "ns").mkdir(parents=True)
        (made / process / "net").mkdir()
        (made / process / "ns" / "net").symlink_to(f"net:[{paths}]")
        lines = "".join(f"0000: 00000002 00000000 00010000 0001 01 1234 {path}\n" for path in paths.split("|"))
        (made / process / "net" / "unix").write_text(HEAD + "0000: 00000003 00000000 00000000 0001 03 99\n" + lines)
        if cwd and process in cwd:
            (made / process / "cwd").symlink_to(cwd[process])
    return made


def test_a_socket_of_this_machine_is_found(bound: Path) -> None:
    assert str(bound) in bound_sockets()


def test_a_socket_that_was_renamed_is_found_under_its_new_name(bound: Path) -> None:
    bound.rename(bound.with_name("renamed"))
    assert str(bound.with_name("renamed")) in bound_sockets()


def test_a_socket_bound_by_a_relative_name_is_found_beside_any_process(tmp_path: Path, bound: Path) -> None:
    assert bound_sockets(proc(tmp_path, lists={"self": "./bound"}, cwd={"self": tmp_path})) == frozenset()
    assert bound_sockets(proc(tmp_path / "other", lists={"7": "./bound"}, cwd={"7": tmp_path})) == {str(bound)}


def test_lists_of_other_network_namespaces_are_read(tmp_path: Path, bound: Path) -> None:
    assert bound_sockets(proc(tmp_path, lists={"self": "/nowhere/x", "8": str(bound)})) == {str(bound)}


def test_abstract_names_and_other_files_are_not_paths(tmp_path: Path, bound: Path) -> None:
    (tmp_path / "plain").touch()
    assert bound_sockets(proc(tmp_path, lists={"self": f"@{bound}"})) == frozenset()
    assert bound_sockets(proc(tmp_path / "other", lists={"self": str(tmp_path / "plain")})) == {str(bound)}


def test_a_name_with_spaces_is_one_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        (tmp_path / "a b").mkdir()
        server.bind(str(tmp_path / "a b" / "c d"))
        assert bound_sockets(proc(tmp_path, lists={"self": f"{tmp_path}/a b/c d"})) == {f"{tmp_path}/a b/c d"}


def test_a_directory_counts_as_a_home_for_sockets_only_if_it_has_nothing_else(bound: Path) -> None:
    assert only_sockets(str(bound.parent))
    (bound.parent / "notes").touch()
    assert not only_sockets(str(bound.parent))
    assert not only_sockets(str(bound))
    os.mkdir(bound.parent / "empty")
    assert not only_sockets(str(bound.parent / "empty"))
