"""How many files Envoy may watch: it spends one inotify instance on each, and the kernel gives a user 128 unless told otherwise.

Envoy aborts where it gets none (seen with 1.40), and no secret can share a file or a watch with another, so a policy with
many credentials is refused beforehand with the remedy. What other programs of the same user hold counts, so it is tried.
"""

import ctypes
import os
import sys
from collections.abc import Iterable

LIMIT = "fs.inotify.max_user_instances"
WATCHED = ("sds-", "rds-", "lds.", "cds.")
SPARE = 3
"""For the watch on the manifests, and for a program that comes meanwhile."""

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def shortage(files: Iterable[str]) -> str:
    """Why Envoy could not watch these files besides what is watched now, fit for the user; empty where it could."""
    wanted = [name for name in files if name.startswith(WATCHED)]
    needed = len(wanted) + SPARE
    had = available(needed)
    if had >= needed:
        return ""
    credentials = sum(name.startswith("sds-credential-") for name in wanted)
    return (
        f"this policy needs {needed} inotify instances, {credentials} of them for credentials, and can have {had}:"
        f" as root, raise the limit with `sysctl {LIMIT}=1024`, or use fewer credentials"
    )


def available(wanted: int) -> int:
    """How many can be had now, up to `wanted`: they are taken, counted and given back."""
    if _libc is None:
        return wanted
    taken: list[int] = []
    try:
        while len(taken) < wanted and (descriptor := _libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            taken.append(descriptor)
        return len(taken)
    finally:
        for descriptor in taken:
            os.close(descriptor)
