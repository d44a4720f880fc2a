"""The sandbox's view of the file system, built once inside the new mount namespace.

In comes a View (which places look different), out goes nothing: the calling process' root afterwards is the view. Covers
belong to this user namespace: a nested one inherits them locked, so that no later namespace can lift them.

As real root the command still owns root's files, and the kernel lets uid 0 write to /proc/sys without any capability, so
that more is read-only then: see `_ROOT_ONLY`. What it must not know: which of the host's places are secret, and why.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

from groyne.isolation import covers, kernel
from groyne.isolation.covers import INERT, SAFE, bind, hold, is_below, read_only
from groyne.isolation.spec import View

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_PROC_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi", "/proc/mtrr")
_ROOT_ONLY = ("/etc", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/boot", "/var/lib", "/var/spool")


def build(view: View, cwd: str, hostname: str) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened first: these are still reachable by descriptor when their paths are covered.
    devices = {name: hold(f"/dev/{name}") for name in _DEVICES if Path("/dev", name).exists()}
    terminal = _terminal()
    kept = {path: hold(path) for path in (cwd, *view.read_only) if os.path.lexists(path)}
    as_root = os.getuid() == 0
    if as_root:
        _what_only_root_may_change(cwd, kept[cwd])
    _fresh_directories(view, kept)
    _policies(view, cwd)
    covers.cover_all(view.covered)
    _own_hosts(hostname)
    _own_proc(as_root=as_root)
    _other_proc_mounts()
    read_only("/sys")
    _own_dev(devices, terminal)
    for held in kept.values():
        os.close(held)


def _terminal() -> int | None:
    """The terminal by its name in this mount namespace: what we inherited belongs to another one and cannot be bound."""
    with suppress(OSError):
        return hold(os.ttyname(0))
    return None


def _what_only_root_may_change(cwd: str, working: int) -> None:
    """What an ordinary user could not write is not written: anything in these runs as real root sooner or later."""
    for path in _ROOT_ONLY:
        read_only(path)
    if is_below(cwd, _ROOT_ONLY):
        bind(f"/proc/self/fd/{working}", cwd, deep=True)


def _fresh_directories(view: View, kept: dict[str, int]) -> None:
    for path in view.fresh:
        if Path(path).is_dir() and not Path(path).is_symlink():
            _fresh(path)
    if view.runtime_dir:
        Path(view.runtime_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, held in kept.items():
        if is_below(path, view.fresh):
            covers.put_back(path, held)


def _fresh(path: str) -> None:
    mode = stat.S_IMODE(Path(path).stat().st_mode)
    links = _links_in(path)
    kernel.mount("tmpfs", path, "tmpfs", SAFE, f"mode={mode:o},size=64m")
    for name, target in links.items():
        Path(path, name).symlink_to(target)


def _links_in(path: str) -> dict[str, str]:
    """Symlinks grant nothing by themselves, and a NixOS machine finds all its programs through one in /run."""
    with suppress(PermissionError):
        return {entry.name: str(entry.readlink()) for entry in Path(path).iterdir() if entry.is_symlink()}
    return {}


def _policies(view: View, cwd: str) -> None:
    """Read-only places; those with something hidden in them are sealed, unless the command works there and must see new files."""
    covers.lock_ancestors(view.read_only)
    for path in view.read_only:
        if is_below(cwd + "/", (path,)) or not any(is_below(hidden, (path,)) for hidden in view.covered):
            read_only(path)
        else:
            covers.seal(path, frozenset(view.covered))


def _own_hosts(hostname: str) -> None:
    """Programs look their own host's name up, and nobody else knows it here."""
    known = os.path.realpath("/etc/hosts")
    if not Path(known).is_file():
        return
    text = Path(known).read_bytes() + f"\n127.0.0.1 {hostname}\n::1 {hostname}\n".encode()
    kernel.mount("tmpfs", "/dev", "tmpfs", INERT, "mode=0755,size=1m")
    Path("/dev/hosts").write_bytes(text)
    kernel.mount("none", "/dev", "", kernel.MS_REMOUNT | kernel.MS_RDONLY | INERT)
    bind("/dev/hosts", known)
    kernel.unmount("/dev")


def _own_proc(*, as_root: bool) -> None:
    try:
        kernel.mount("proc", "/proc", "proc", INERT)
    except PermissionError:
        # In a container whose /proc is masked the kernel gives no whole one away; newer kernels give the processes only.
        kernel.mount("proc", "/proc", "proc", INERT, "subset=pid")
    for path in _PROC_READ_ONLY if as_root else ():
        read_only(path)


def _other_proc_mounts() -> None:
    """Another mount of procfs would show the host's processes."""
    for one in covers.mounted():
        if one.kind == "proc" and not (one.point + "/").startswith("/proc/"):
            with suppress(FileNotFoundError, NotADirectoryError):  # under something that covers it already
                kernel.mount("tmpfs", one.point, "tmpfs", INERT | kernel.MS_RDONLY, "mode=0,size=4k")


def _own_dev(devices: dict[str, int], terminal: int | None) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("tmpfs", "/dev", "tmpfs", flags, "mode=0755,size=64k")
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(target)
    held = devices if terminal is None else {**devices, "console": terminal}
    for name, descriptor in held.items():
        Path("/dev", name).touch()
        bind(f"/proc/self/fd/{descriptor}", f"/dev/{name}")
        os.close(descriptor)
    Path("/dev/pts").mkdir()
    kernel.mount("devpts", "/dev/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=0620")
    Path("/dev/shm").mkdir()  # noqa: S108 - the sandbox's own
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", SAFE, "mode=1777")  # noqa: S108
    kernel.mount("none", "/dev", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)
