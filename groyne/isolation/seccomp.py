"""The seccomp filter that COMMAND runs under, assembled as classic BPF. Pure: numbers in, bytes out.

It closes what namespaces leave open: address families that no network namespace contains (vsock reaches a virtual
machine's host, Bluetooth and CAN the hardware), io_uring (which opens sockets past any filter), key rings, typing into the
terminal that we inherit (TIOCSTI), file handles, and system calls of a foreign architecture, whose numbers mean other things.
Everything else stays allowed, nested user namespaces too: agents bring sandboxes of their own.
"""

import errno
import struct

_LOAD, _EQUAL, _GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets of the low halves in struct seccomp_data
_X32 = 0x40000000

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_SOCKETPAIR = {"x86_64": 53, "aarch64": 199}
_IOCTL = {"x86_64": 16, "aarch64": 29}
_KILL = {"x86_64": 62, "aarch64": 129}
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: each of these is contained by the new network namespace.
_FAMILIES = (1, 2, 10, 16)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_ABSENT = {
    "x86_64": {
        "add_key": 248, "request_key": 249, "keyctl": 250, "open_by_handle_at": 304, "perf_event_open": 298,
        "userfaultfd": 323, "bpf": 321, "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313,
    },
    "aarch64": {
        "add_key": 217, "request_key": 218, "keyctl": 219, "open_by_handle_at": 265, "perf_event_open": 241,
        "userfaultfd": 282, "bpf": 280, "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273,
    },
}  # fmt: skip
_IO_URING = (425, 426, 427)  # the same on every architecture

MACHINES = tuple(_AUDIT_ARCH)


def _statement(code: int, value: int) -> bytes:
    return struct.pack("HBBI", code, 0, 0, value)


def _jump(code: int, value: int, *, hit: int, miss: int) -> bytes:
    return struct.pack("HBBI", code, hit, miss, value)


def _refuse(number: int) -> bytes:
    return _statement(_RETURN, _ERRNO | number)


def _refuse_where_equal(value: int, number: int) -> bytes:
    return _jump(_EQUAL, value, hit=0, miss=1) + _refuse(number)


def _on_call(number: int, body: bytes) -> bytes:
    """`body` where the system call is `number`; the accumulator holds the number before, and whatever after."""
    return _jump(_EQUAL, number, hit=0, miss=len(body) // 8) + body


def _only_families() -> bytes:
    allowed = b"".join(_jump(_EQUAL, family, hit=len(_FAMILIES) - index, miss=0) for index, family in enumerate(_FAMILIES))
    return _statement(_LOAD, _FIRST) + allowed + _refuse(errno.EAFNOSUPPORT) + _statement(_RETURN, _ALLOW)


def _no_typing() -> bytes:
    refused = _refuse_where_equal(_TIOCSTI, errno.EPERM) + _refuse_where_equal(_TIOCLINUX, errno.EPERM)
    return _statement(_LOAD, _SECOND) + refused + _statement(_RETURN, _ALLOW)


def _no_group() -> bytes:
    return _statement(_LOAD, _FIRST) + _refuse_where_equal(0, errno.EPERM) + _statement(_RETURN, _ALLOW)


def program(machine: str, *, group_signals: bool) -> bytes:
    """The filter for one machine; the arguments are compared by their low halves, as the kernel truncates them itself.

    Without `group_signals`, a process cannot signal its own process group by the number 0, which may be Groyne's too.
    """
    native = _statement(_LOAD, _ARCHITECTURE) + _jump(_EQUAL, _AUDIT_ARCH[machine], hit=1, miss=0) + _refuse(errno.ENOSYS)
    x32 = _jump(_GREATER_EQUAL, _X32, hit=0, miss=1) + _refuse(errno.ENOSYS) if machine == "x86_64" else b""
    absent = b"".join(_refuse_where_equal(number, errno.ENOSYS) for number in (*_IO_URING, *_ABSENT[machine].values()))
    calls = (
        _on_call(_SOCKET[machine], _only_families())
        + _on_call(_SOCKETPAIR[machine], _only_families())
        + _on_call(_IOCTL[machine], _no_typing())
        + (b"" if group_signals else _on_call(_KILL[machine], _no_group()))
    )
    return native + _statement(_LOAD, _NUMBER) + x32 + absent + calls + _statement(_RETURN, _ALLOW)
