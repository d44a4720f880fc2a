"""A network namespace in which every IPv4 and IPv6 address is this machine: policies may speak of any host and any port.

Nothing leaves the namespace, because there is no interface but loopback. The routes are set by netlink, so that no tool
but `unshare` must be installed.
"""

import fcntl
import os
import shutil
import socket
import struct
import sys

MARK = "GROYNE_DIFFERENTIAL_NAMESPACE"
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
NLM_REQUEST_CREATE_ACK = 0x1 | 0x4 | 0x400
RTM_NEWROUTE, RTA_OIF, RT_TABLE_LOCAL, RTPROT_STATIC, RTN_LOCAL = 24, 4, 255, 4, 2
RT_SCOPE_HOST, RT_SCOPE_UNIVERSE = 254, 0


def inside() -> bool:
    return MARK in os.environ


def reexecute(module: str) -> None:
    """Starts this very command anew inside a namespace. Does not return."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise SystemExit("the differential test needs `unshare` (package util-linux)")
    os.environ[MARK] = "1"
    os.execv(unshare, [unshare, "--user", "--map-root-user", "--net", sys.executable, "-m", module, *sys.argv[1:]])  # noqa: S606


def bring_up() -> None:
    """Loopback up, and every address on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))
    for family, scope in ((socket.AF_INET, RT_SCOPE_HOST), (socket.AF_INET6, RT_SCOPE_UNIVERSE)):
        add_local_default(family, scope)


def add_local_default(family: int, scope: int) -> None:
    route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, scope, RTN_LOCAL, 0)
    body = route + struct.pack("=HHI", 8, RTA_OIF, socket.if_nametoindex("lo"))
    head = struct.pack("=IHHII", 16 + len(body), RTM_NEWROUTE, NLM_REQUEST_CREATE_ACK, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.bind((0, 0))
        sock.send(head + body)
        error = struct.unpack("=i", sock.recv(4096)[16:20])[0]
    if error:
        raise OSError(-error, f"no local route: {os.strerror(-error)}")
