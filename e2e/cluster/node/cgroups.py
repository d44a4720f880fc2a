"""Where the node's pods are counted: a group of its own in every hierarchy, so that two nodes on a machine do not mix.

On version 1 that is one directory for each controller, on version 2 one in all. They are removed at the end, and those that a killed run
left behind when the next one begins.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from e2e.cluster.missing import Missing

_ROOT = Path("/sys/fs/cgroup")
_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "pids")
_PREFIX = "groyne-e2e-"
_numbers = count()


@contextmanager
def group() -> Iterator[str]:
    """Its name, as kubelet wants it, e.g. `/groyne-e2e-4711-0`, by our process. Raises Missing."""
    name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
    for left in _left_behind():
        _remove(left)
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()
    _inherit(name)
    try:
        yield f"/{name}"
    finally:
        for hierarchy in _hierarchies():
            _remove(hierarchy / name)


def _inherit(name: str) -> None:
    """A group of version 1 has no processors and no memory until it is told which."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (_ROOT / "cpuset" / file).exists():
            (_ROOT / "cpuset" / name / file).write_text((_ROOT / "cpuset" / file).read_text())


def _hierarchies() -> list[Path]:
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    lacking = [name for name in _NEEDED if not (_ROOT / name).is_dir()]
    if lacking:
        raise Missing(f"no cgroup controllers {', '.join(lacking)}", f"mount them below {_ROOT}, or use a machine with cgroup version 2")
    return [path for path in _ROOT.iterdir() if path.is_dir() and path.name != "unified"]


def _left_behind() -> list[Path]:
    found = [path for hierarchy in _hierarchies() for path in hierarchy.glob(f"{_PREFIX}*")]
    return [path for path in found if not Path(f"/proc/{path.name.removeprefix(_PREFIX).partition('-')[0]}").exists()]


def _remove(group: Path) -> None:
    """From the leaves upwards. What is still in use stays until another time."""
    if group.is_dir():
        for path, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(path)
