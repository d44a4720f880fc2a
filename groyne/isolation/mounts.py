"""The sandbox's view of the file system, built once inside the new mount namespace.

In comes a View (which places look different), out goes nothing: the calling process' root afterwards is the view.
What is already below a directory when it is covered is reached through descriptors opened before, never by path, and covers
belong to this user namespace: a nested one inherits them locked, so that no later namespace can lift them.

As real root the command still owns root's files, and the kernel lets uid 0 write to /proc/sys without any capability, so
that more is read-only then: see `_ROOT_ONLY`. What it must not know: which of the host's places are secret, and why.
"""

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groyne.isolation import kernel
from groyne.isolation.spec import View

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV
_INERT = _SAFE | kernel.MS_NOEXEC
_PROC_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/proc/mtrr")
_ROOT_ONLY = ("/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/var/lib", "/var/spool")
# A remount in a user namespace must repeat these, because they are locked; access times are preserved by themselves.
_LOCKED = {"nosuid": kernel.MS_NOSUID, "nodev": kernel.MS_NODEV, "noexec": kernel.MS_NOEXEC}
_ESCAPE = re.compile(rb"\\([0-7]{3})")


def build(view: View, cwd: str) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened first: these are still reachable by descriptor when their paths are covered.
    devices = {name: _hold(f"/dev/{name}") for name in _DEVICES if Path("/dev", name).exists()}
    terminal = _terminal()
    working = _hold(cwd)
    as_root = os.getuid() == 0
    _lock_ancestors(view.read_only)
    for path in (*(_ROOT_ONLY if as_root else ()), *view.read_only):
        _read_only(path)
    if as_root and _is_below(cwd, _ROOT_ONLY) and not _is_below(cwd, view.read_only):
        _bind(f"/proc/self/fd/{working}", cwd, deep=True)
    _fresh_directories(view, cwd, working)
    _cover_all(view.covered)
    _own_proc(as_root=as_root)
    _other_proc_mounts()
    _read_only("/sys")
    _own_dev(devices, terminal)
    os.close(working)


def _hold(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _is_below(path: str, directories: tuple[str, ...]) -> bool:
    return any(path.startswith(directory + "/") for directory in directories)


def _terminal() -> int | None:
    """The terminal by its name in this mount namespace: what we inherited belongs to another one and cannot be bound."""
    with suppress(OSError):
        return _hold(os.ttyname(0))
    return None


def _bind(source: str, target: str, *, deep: bool = False) -> None:
    kernel.mount(source, target, flags=kernel.MS_BIND | (kernel.MS_REC if deep else 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mounted:
    point: str
    kind: str
    locked: int


def _mounted() -> list[_Mounted]:
    return [_parse(line) for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]


def _parse(line: bytes) -> _Mounted:
    fields, _, source = line.partition(b" - ")
    point, options = fields.split()[4:6]
    plain = os.fsdecode(_ESCAPE.sub(lambda octal: bytes([int(octal[1], 8)]), point))
    locked = sum(_LOCKED.get(option, 0) for option in options.decode().split(","))
    return _Mounted(point=plain, kind=source.split()[0].decode(), locked=locked)


def _read_only(path: str) -> None:
    """`path` and all that is mounted below it refuses writes; a path that is absent or a symlink is left alone."""
    if not os.path.lexists(path) or Path(path).is_symlink():
        return
    _bind(path, path, deep=True)
    # Of several mounts at one point the last is on top, and the only one that a path reaches.
    below = {mounted.point: mounted for mounted in _mounted() if (mounted.point + "/").startswith(path + "/")}
    for point, mounted in below.items():
        kernel.mount("none", point, flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | mounted.locked)


def _lock_ancestors(paths: tuple[str, ...]) -> None:
    """A mount point cannot be renamed: without this, a directory above a read-only one could be moved aside and replaced."""
    ancestors = {str(parent) for path in paths for parent in Path(path).parents if str(parent) != "/"}
    for ancestor in sorted(ancestors, key=len):
        _bind(ancestor, ancestor, deep=True)


def _fresh_directories(view: View, cwd: str, working: int) -> None:
    for path in view.fresh:
        if not Path(path).is_dir() or Path(path).is_symlink():
            continue
        mode = stat.S_IMODE(Path(path).stat().st_mode)
        links = _links_in(path)
        kernel.mount("tmpfs", path, "tmpfs", _SAFE, f"mode={mode:o},size=64m")
        for name, target in links.items():
            Path(path, name).symlink_to(target)
    if view.runtime_dir:
        Path(view.runtime_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    if _is_below(cwd, view.fresh):
        Path(cwd).mkdir(parents=True, exist_ok=True)
        _bind(f"/proc/self/fd/{working}", cwd, deep=True)


def _links_in(path: str) -> dict[str, str]:
    """Symlinks grant nothing by themselves, and a NixOS machine finds all its programs through one in /run."""
    with suppress(PermissionError):
        return {entry.name: str(entry.readlink()) for entry in Path(path).iterdir() if entry.is_symlink()}
    return {}


def _cover_all(paths: tuple[str, ...]) -> None:
    """Bind something empty and unreadable over each path. The covers' source lives under /dev until that gets its own mount."""
    if not paths:
        return
    kernel.mount("tmpfs", "/dev", "tmpfs", _INERT, "mode=0755,size=64k")
    Path("/dev/file").touch(mode=0)
    Path("/dev/directory").mkdir(mode=0)
    kernel.mount("none", "/dev", "", kernel.MS_REMOUNT | kernel.MS_RDONLY | _INERT)
    for path in paths:
        _cover(path)
    kernel.unmount("/dev")


def _cover(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # gone by now, below another cover, or out of the command's reach as well as ours
    if not stat.S_ISLNK(mode):
        _bind("/dev/directory" if stat.S_ISDIR(mode) else "/dev/file", path)


def _own_proc(*, as_root: bool) -> None:
    try:
        kernel.mount("proc", "/proc", "proc", _INERT)
    except PermissionError:
        # In a container whose /proc is masked the kernel gives no whole one away; newer kernels give the processes only.
        kernel.mount("proc", "/proc", "proc", _INERT, "subset=pid")
    for path in _PROC_READ_ONLY if as_root else ():
        _read_only(path)


def _other_proc_mounts() -> None:
    """Another mount of procfs would show the host's processes."""
    for mounted in _mounted():
        if mounted.kind == "proc" and not (mounted.point + "/").startswith("/proc/"):
            with suppress(FileNotFoundError, NotADirectoryError):  # under something that covers it already
                kernel.mount("tmpfs", mounted.point, "tmpfs", _INERT | kernel.MS_RDONLY, "mode=0,size=4k")


def _own_dev(devices: dict[str, int], terminal: int | None) -> None:
    kernel.mount("tmpfs", "/dev", "tmpfs", kernel.MS_NOSUID | kernel.MS_NOEXEC, "mode=0755,size=64k")
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    held = devices if terminal is None else {**devices, "console": terminal}
    for name, descriptor in held.items():
        Path("/dev", name).touch()
        _bind(f"/proc/self/fd/{descriptor}", f"/dev/{name}")
        os.close(descriptor)
    Path("/dev/pts").mkdir()
    kernel.mount("devpts", "/dev/pts", "devpts", kernel.MS_NOSUID | kernel.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    Path("/dev/shm").mkdir()  # noqa: S108 - the sandbox's own
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", _SAFE, "mode=1777")  # noqa: S108
    kernel.mount("none", "/dev", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NOEXEC)
