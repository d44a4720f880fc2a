"""Unix path sockets that processes of this machine have bound, as far as the caller may see them.

The kernel's list (`/proc/net/unix`, one for each network namespace) names the path that was given to bind: it may be relative to
the binder's directory, and may have been renamed or linked elsewhere since (ssh does that). So the list only says where to look:
the sockets are those found in these directories.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PATH_COLUMN = 7


def bound_sockets(proc: Path = Path("/proc")) -> frozenset[str]:
    """Every path at which a socket stands, in each directory in which some process has bound one."""
    named, relative = _listed(proc)
    directories = {str(Path(path).parent) for path in named}
    directories |= {str(Path(cwd, path).parent) for cwd in (_working_directories(proc) if relative else ()) for path in relative}
    return frozenset(path for directory in {os.path.realpath(one) for one in directories} for path in _sockets_in(directory))


def only_sockets(directory: str) -> bool:
    """Whether the directory is nothing but a home for sockets, so that it can be hidden whole."""
    with suppress(OSError):
        modes = [entry.stat(follow_symlinks=False).st_mode for entry in os.scandir(directory)]
        return bool(modes) and all(stat.S_ISSOCK(mode) for mode in modes)
    return False


def _sockets_in(directory: str) -> Iterator[str]:
    with suppress(OSError):  # absent, another mount namespace's, or closed to us and so to the command
        for entry in os.scandir(directory):
            if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                yield entry.path


def _listed(proc: Path) -> tuple[set[str], set[str]]:
    absolute: set[str] = set()
    relative: set[str] = set()
    for text in _lists(proc):
        for path in _paths(text):
            (absolute if path.startswith("/") else relative).add(path)
    return absolute, relative


def _paths(text: str) -> Iterator[str]:
    for line in text.splitlines()[1:]:
        columns = line.split(maxsplit=_PATH_COLUMN)
        if len(columns) > _PATH_COLUMN and not columns[_PATH_COLUMN].startswith("@"):
            yield columns[_PATH_COLUMN]


def _lists(proc: Path) -> Iterator[str]:
    """One list for each network namespace that a visible process is in."""
    seen: set[str] = set()
    for process in ("self", *_processes(proc)):
        with suppress(OSError):
            namespace = str((proc / process / "ns" / "net").readlink())
            if namespace not in seen:
                seen.add(namespace)
                yield (proc / process / "net" / "unix").read_text(errors="surrogateescape")


def _working_directories(proc: Path) -> Iterable[str]:
    found = set()
    for process in _processes(proc):
        with suppress(OSError):
            found.add(str((proc / process / "cwd").readlink()))
    return found


def _processes(proc: Path) -> list[str]:
    return [name for name in os.listdir(proc) if name.isdigit()]  # noqa: PTH208
