"""Runs a command as a kernel without IPv6 would have it: no IPv6 socket can be opened, and /proc/net knows nothing of the family.

Only for the command: whoever else is in its network namespace has IPv6. Needs a mount namespace of its own; the command keeps
this process' id, because what lies over /proc/net lies over that process' alone.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import subprocess
import sys

NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER, FIRST = 0, 16  # offsets in struct seccomp_data
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def no_ipv6_sockets() -> None:
    statements = [
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, SOCKET),
        (LOAD, 0, 0, FIRST),
        (EQUAL, 0, 1, socket.AF_INET6),
        (RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *statement) for statement in statements))
    program = Program(len(statements), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def main() -> None:
    subprocess.run(["mount", "-t", "tmpfs", "none", f"/proc/{os.getpid()}/net"], check=True)
    no_ipv6_sockets()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
