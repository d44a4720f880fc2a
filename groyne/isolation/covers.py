"""Ways to make one place of the file system look different: empty, read-only, or without some of its files.

Each works on the calling process' mount namespace and on nothing else; which places, and in which order, is said by `mounts`
at the start and by `later` while the command runs. What was below a cover is reached through descriptors opened before it.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groyne.isolation import kernel

SAFE = kernel.MS_NOSUID | kernel.MS_NODEV
INERT = SAFE | kernel.MS_NOEXEC
# A remount in a user namespace must repeat these, because they are locked; access times are preserved by themselves.
_LOCKED = {"nosuid": kernel.MS_NOSUID, "nodev": kernel.MS_NODEV, "noexec": kernel.MS_NOEXEC}
_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    point: str
    kind: str
    locked: int


def mounted() -> list[Mounted]:
    return [_parse(line) for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]


def _parse(line: bytes) -> Mounted:
    fields, _, source = line.partition(b" - ")
    point, options = fields.split()[4:6]
    plain = os.fsdecode(_ESCAPE.sub(lambda octal: bytes([int(octal[1], 8)]), point))
    locked = sum(_LOCKED.get(option, 0) for option in options.decode().split(","))
    return Mounted(point=plain, kind=source.split()[0].decode(), locked=locked)


def hold(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def is_below(path: str, directories: Iterable[str]) -> bool:
    return any(path.startswith(directory + "/") for directory in directories)


def bind(source: str, target: str, *, deep: bool = False) -> None:
    kernel.mount(source, target, flags=kernel.MS_BIND | (kernel.MS_REC if deep else 0))


def read_only(path: str) -> None:
    """`path` and all that is mounted below it refuses writes; a path that is absent or a symlink is left alone."""
    if not os.path.lexists(path) or Path(path).is_symlink():
        return
    bind(path, path, deep=True)
    refuse_writes(path)


def refuse_writes(path: str) -> None:
    # Of several mounts at one point the last is on top, and the only one that a path reaches.
    below = {one.point: one for one in mounted() if (one.point + "/").startswith(path + "/")}
    for point, one in below.items():
        kernel.mount("none", point, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | one.locked)


def lock_ancestors(paths: Iterable[str]) -> None:
    """A mount point cannot be renamed: without this, a directory above a read-only one could be moved aside and replaced.

    Only where the user could do that: nothing can be renamed or linked across mounts, so each one is felt.
    """
    ancestors = {parent for path in paths for parent in Path(path).parents if os.access(parent.parent, os.W_OK)}
    for ancestor in sorted(map(str, ancestors - {Path("/")}), key=len):
        with suppress(FileNotFoundError):
            bind(ancestor, ancestor, deep=True)


def put_back(path: str, held: int) -> None:
    """Show at `path`, which something covers now, what stood there when `held` was opened."""
    inside = Path(path)
    if stat.S_ISDIR(os.fstat(held).st_mode):
        inside.mkdir(parents=True, exist_ok=True)
    else:
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.touch()
    bind(f"/proc/self/fd/{held}", path, deep=True)


def seal(directory: str, without: Collection[str]) -> None:
    """Replace a directory by a read-only view that lacks some files, and anything made in it later.

    A cover over a single file is lifted when the file is replaced by renaming, as editors do; a place in this view cannot be.
    """
    held = hold(directory)
    kernel.mount("tmpfs", directory, "tmpfs", SAFE, "mode=0755,size=16m")
    _fill(f"/proc/self/fd/{held}", directory, without)
    refuse_writes(directory)
    os.close(held)


def _fill(source: str, target: str, without: Collection[str]) -> None:
    for entry in os.scandir(source):
        shown = f"{target}/{entry.name}"
        if shown in without:
            continue
        if entry.is_symlink():
            Path(shown).symlink_to(Path(entry.path).readlink())
        elif not entry.is_dir():
            Path(shown).touch()
            bind(entry.path, shown)
        else:
            Path(shown).mkdir()
            if any(path.startswith(shown + "/") for path in without):
                _fill(entry.path, shown, without)
            else:
                bind(entry.path, shown, deep=True)


def cover_all(paths: Iterable[str]) -> None:
    """Bind something empty and unreadable over each path. The covers' source lives under /dev until that gets its own mount."""
    kernel.mount("tmpfs", "/dev", "tmpfs", INERT, "mode=0755,size=64k")
    Path("/dev/file").touch(mode=0)
    Path("/dev/directory").mkdir(mode=0)
    kernel.mount("none", "/dev", "", kernel.MS_REMOUNT | kernel.MS_RDONLY | INERT)
    for path in paths:
        _cover(path)
    kernel.unmount("/dev")


def _cover(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # gone by now, below another cover, or out of the command's reach as well as ours
    if not stat.S_ISLNK(mode):
        bind("/dev/directory" if stat.S_ISDIR(mode) else "/dev/file", path)


def cover_later(path: str) -> None:
    """The same while the command runs, when /dev is in use: a file then reads as /dev/null does."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    if stat.S_ISLNK(mode) or stat.S_ISCHR(mode) or _covered_still(path, mode):
        return
    if stat.S_ISDIR(mode):
        kernel.mount("tmpfs", path, "tmpfs", INERT | kernel.MS_RDONLY, "mode=0,size=4k")
    else:
        bind("/dev/null", path)


def _covered_still(path: str, mode: int) -> bool:
    return stat.S_IMODE(mode) == 0 and bool(os.statvfs(path).f_flag & os.ST_RDONLY)
