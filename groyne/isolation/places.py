"""Which places of the host the sandbox must not see as they are: an environment and a file system in, a View out.

Unix path sockets are reached through the file system, whatever the network namespace, and no mount option or system-call filter
refuses a connect to them. (Landlock does from its ABI 9 on, but forbids every mount with it, and so the sandboxes that agents
bring themselves.) So every socket that some process has bound when the command starts is covered (`sockets`), and directories
that are made for sockets become empty private ones, so that those made in them later stay out of sight too. A socket made after
the start in another directory that the command can reach is covered within some seconds (`guard`); until then it is reachable.
/tmp stays shared on purpose: commands are handed files there, and leave some.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from groyne.isolation.sockets import bound_sockets, only_sockets
from groyne.isolation.spec import LaunchSpec, View

# Directories that exist for the sockets of other programs: container runtimes, displays, agents.
_IN_HOME = (
    ".docker/run",
    ".docker/desktop",
    ".colima",
    ".lima",
    ".rd",
    ".orbstack/run",
    ".local/share/containers/podman/machine",
)
_ANYWHERE = ("/tmp/.X11-unix", "/tmp/.ICE-unix", "/var/snap/lxd/common/lxd", "/var/lib/lxd", "/var/lib/incus")  # noqa: S108
_RUNTIME = ("/run", "/var/run")
_SOCKET_VARIABLES = (
    "SSH_AUTH_SOCK",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_HOST",
    "CONTAINER_HOST",
    "CONTAINERD_ADDRESS",
    "GPG_AGENT_INFO",
    "TMUX",
    "WAYLAND_DISPLAY",
)
_NEVER_WHOLE = ("/", "/tmp", "/var/tmp", "/home", "/root")  # noqa: S108


def view(spec: LaunchSpec) -> View:
    environ = spec.session
    sockets = {*bound_sockets(), *_named_sockets(environ)}
    runtime = _runtime_dir(environ)
    made_for_sockets = (directory for directory in {str(Path(path).parent) for path in sockets} if only_sockets(directory))
    homes = (f"{environ['HOME']}/{name}" for name in _IN_HOME) if environ.get("HOME") else ()
    lived_in = (os.path.realpath(spec.cwd), os.path.realpath(environ.get("HOME", "/root")))
    hidden, read_only = _resolved(spec.hidden_paths), _resolved(spec.read_only_paths)
    partly = tuple(path for path in hidden if any(_below(shown, (path,)) for shown in read_only))
    fresh = (*partly, *_existing(_RUNTIME), *_outside(_existing((*runtime, *_ANYWHERE, *homes, *made_for_sockets)), lived_in))
    return View(
        fresh=tuple(sorted(dict.fromkeys(fresh), key=len)),
        covered=(*(path for path in hidden if path not in partly), *(path for path in sorted(sockets) if not _below(path, fresh))),
        read_only=read_only,
        runtime_dir=next((path for path in runtime if _below(path, ("/run",))), ""),
    )


def _runtime_dir(environ: Mapping[str, str]) -> tuple[str, ...]:
    named = environ.get("XDG_RUNTIME_DIR", "")
    return (os.path.realpath(named),) if named.startswith("/") else ()


def _named_sockets(environ: Mapping[str, str]) -> Iterable[str]:
    """Paths within `unix:/path`, `unix:path=/path,guid=…`, `/path,pid,0` and plain `/path`."""
    for name in _SOCKET_VARIABLES:
        for part in environ.get(name, "").replace(";", ",").split(","):
            start = part.find("/")
            path = part[start:] if start >= 0 else ""
            if path and _is_socket(path):
                yield os.path.realpath(path)


# Both ask `os` and not Path, whose questions raise in Python 3.11 where a directory above is closed to us.
def _is_socket(path: str) -> bool:
    with suppress(OSError):
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116
    return False


def _existing(candidates: Iterable[str]) -> tuple[str, ...]:
    return tuple(path for path in dict.fromkeys(os.path.realpath(one) for one in candidates) if os.path.isdir(path))  # noqa: PTH112


def _outside(directories: Iterable[str], lived_in: tuple[str, ...]) -> tuple[str, ...]:
    """Without those that the command works or lives in: their sockets are covered one by one."""
    return tuple(
        path for path in directories if path not in _NEVER_WHOLE and not any(f"{place}/".startswith(f"{path}/") for place in lived_in)
    )


def _resolved(paths: Iterable[Path]) -> tuple[str, ...]:
    """A symlink's target is what has to be covered; the link itself shows nothing then."""
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths))


def _below(path: str, directories: Iterable[str]) -> bool:
    return any(path.startswith(f"{directory}/") for directory in directories)
