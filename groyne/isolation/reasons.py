"""Why the wall cannot stand here, in one sentence that names the remedy. Values read from /proc/sys in, Unsupported out."""

import errno
import os
import sys
from pathlib import Path

from groyne.isolation import seccomp
from groyne.isolation.spec import Unsupported

_NO_ISOLATE = "or run with --no-isolate (then the proxy settings are only advice to the command)"


def known_beforehand() -> Unsupported | None:
    """What needs no trial: another system, another processor."""
    if sys.platform != "linux":
        return Unsupported(step="system", reason=f"isolation needs Linux and this is {sys.platform}; run on Linux {_NO_ISOLATE}")
    machine = os.uname().machine
    if machine not in seccomp.MACHINES:
        return Unsupported(step="processor", reason=f"isolation knows {', '.join(seccomp.MACHINES)} and this is {machine}; {_NO_ISOLATE}")
    return None


def explain(step: str, number: int, message: str, proc_sys: Path = Path("/proc/sys")) -> Unsupported:
    return Unsupported(step=step, reason=f"{_cause(step, number, message, proc_sys)} {_NO_ISOLATE}")


def _cause(step: str, number: int, message: str, proc_sys: Path) -> str:
    return _setting(number, proc_sys) or _container(step, number, message) or _said(step, number, message)


def _setting(number: int, proc_sys: Path) -> str:
    if _value(proc_sys / "user/max_user_namespaces") == "0":
        return "user namespaces are switched off (user.max_user_namespaces is 0): sudo sysctl user.max_user_namespaces=15000,"
    if _value(proc_sys / "kernel/unprivileged_userns_clone") == "0":
        return "unprivileged user namespaces are switched off: sudo sysctl kernel.unprivileged_userns_clone=1,"
    if _value(proc_sys / "kernel/apparmor_restrict_unprivileged_userns") == "1" and number in (errno.EPERM, errno.EACCES):
        return (
            "AppArmor takes all powers from unprivileged user namespaces: "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or give this Python an AppArmor profile with `userns,`,"
        )
    return ""


def _container(step: str, number: int, message: str) -> str:
    if step == "user namespace" and number == errno.EPERM:
        return (
            "the kernel refuses a user namespace, as in a container whose seccomp profile forbids it: "
            "start the container with a profile that allows unshare (docker run --security-opt seccomp=unconfined),"
        )
    if step == "mounts" and "/proc" in message:
        return "this container masks /proc, so no process list can be private: docker run --security-opt systempaths=unconfined,"
    return ""


def _said(step: str, number: int, message: str) -> str:
    if number in (errno.ENOSPC, errno.EUSERS):
        return f"the limit of namespaces is reached ({step}): raise the limits in /proc/sys/user,"
    return f"the kernel refuses the step '{step}' ({message or os.strerror(number)}): allow unprivileged user namespaces,"


def _value(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
