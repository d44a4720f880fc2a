"""Giving up every power before COMMAND starts: capabilities, set-uid programs, the login's keys, forbidden system calls.

The order matters: the bounding set can only be emptied while CAP_SETPCAP is still there. The secure bits are locked so
that a command that runs as uid 0 (Groyne started by root) gains nothing by executing anything.
"""

import errno

from groyne.isolation import kernel, landlock, seccomp

# KEEP_CAPS, NO_SETUID_FIXUP, NOROOT and NO_CAP_AMBIENT_RAISE, each with its lock, as in linux/securebits.h.
_SECURE_BITS = 0b11_10_11_11


def drop_all() -> None:
    """Leave the calling process, and all that it starts, without any capability or the means to get one."""
    kernel.join_empty_session_keyring()
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    kernel.prctl(kernel.PR_SET_SECUREBITS, _SECURE_BITS)
    _empty_bounding_set()
    kernel.set_capabilities_to_none()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.install_filter(seccomp.program(kernel.MACHINE, group_signals=landlock.has_scopes()))


def leave_the_group_in_peace() -> None:
    """For the command alone: it and its children can signal nobody else. Where the kernel cannot do that the filter does."""
    if landlock.has_scopes():
        landlock.confine_signals()


def become_invisible() -> None:
    """No process of the same user may trace the caller or read its memory, environment and descriptors."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)


def _empty_bounding_set() -> None:
    for capability in range(64):
        try:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return
            raise
