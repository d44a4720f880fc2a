"""Landlock's scope for signals: the command and what it starts can signal each other and nothing else.

The command stays in Groyne's process group, so that the terminal's keys, pipes and job control work, and `kill(0, …)` goes to the
whole group whatever the pid namespace. Landlock keeps it to the sandbox (kernel 6.12 on). Only this scope is
asked for: with any right over files, Landlock would forbid all mounts, and so the sandboxes that agents bring themselves.
"""

import ctypes
import os
import struct

from groyne.isolation import kernel

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_VERSION = 1
_FIRST_WITH_SCOPES = 6
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2


def has_scopes() -> bool:
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION) >= _FIRST_WITH_SCOPES
    except OSError:
        return False


def confine_signals() -> None:
    """For the calling thread and all that it starts. Needs no_new_privs."""
    rights = struct.pack("QQQ", 0, 0, _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL)
    ruleset = kernel.syscall(_CREATE_RULESET, ctypes.c_char_p(rights), len(rights), 0)
    try:
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
