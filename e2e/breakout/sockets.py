"""Makes sockets where it runs, and hands them to the test: `python sockets.py [WORLD]` with a Unix seqpacket socket as standard input.

One order a packet, JSON in, JSON and descriptors out. It runs behind the wall as the command of `groyne run`, so that a test can
speak raw bytes from in there; and, given a WORLD, as the holder of a network of its own, where names and addresses are the
test's (see `lab`). Standard library only.
"""

import array
import errno
import fcntl
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

SIOCSIFADDR, SIOCSIFNETMASK = 0x8916, 0x891C


def main() -> None:
    if len(sys.argv) > 1:
        build(json.loads(sys.argv[1]))
    control = socket.socket(fileno=os.dup(0))
    while order := control.recv(1 << 16):
        answer, made = carried_out(json.loads(order))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]))] if made else []
        control.sendmsg([json.dumps(answer).encode()], rights)
        if made:
            made.close()


def carried_out(order: dict) -> tuple[dict, socket.socket | None]:
    try:
        result = ORDERS[order.pop("do")](**order)
    except OSError as error:
        return {"error": errno.errorcode.get(error.errno or 0, type(error).__name__)}, None
    return ({}, result) if isinstance(result, socket.socket) else ({"result": result}, None)


def connect(family: int, kind: int, address: list | str, timeout: float) -> socket.socket:
    made = socket.socket(family, kind)
    try:
        made.settimeout(timeout)
        made.connect(tuple(address) if isinstance(address, list) else address)
    except OSError:
        made.close()
        raise
    return made


def listen(family: int, kind: int, address: list) -> socket.socket:
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(tuple(address))
    if kind == socket.SOCK_STREAM:
        made.listen(512)
    return made


def environ() -> dict[str, str]:
    return dict(os.environ)


def open_ports(address: str) -> list[int]:
    """By trying each: what /proc/net says is not needed to be believed."""
    return [port for port in range(1, 65536) if is_open(address, port)]


def is_open(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as made, suppress(OSError):
        made.connect((address, port))
        # A socket can meet itself where the kernel gave it the very port that it tries.
        return made.getsockname() != made.getpeername()
    return False


def send_datagram(family: int, address: list, text: str) -> int:
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        return made.sendto(text.encode(), tuple(address))


ORDERS = {
    "connect": connect, "listen": listen, "environ": environ, "open_ports": open_ports, "send_datagram": send_datagram,
}  # fmt: skip


def build(world: dict) -> None:
    """Namespaces in which this user is root, with only a loopback device that has the world's addresses, and the world's files."""
    sys.path.insert(0, world["library"])
    from groyne.isolation import kernel  # noqa: PLC0415 - known only now

    user, group = os.geteuid(), os.getegid()
    if user != 0:
        kernel.unshare(kernel.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path("/proc/self", name).write_text(text)
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    for path, content in world["files"].items():
        kernel.mount(content, path, flags=kernel.MS_BIND)
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
    kernel.loopback_up()
    for number, address in enumerate(world["addresses"]):
        add_address(number, address)
    with suppress(FileNotFoundError):  # a kernel without IPv6
        Path("/proc/sys/net/ipv6/ip_nonlocal_bind").write_text("1")  # an address takes a moment to become one's own


def add_address(number: int, address: str) -> None:
    if ":" in address:
        with suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
            wanted = struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, address), 128, socket.if_nametoindex("lo"))
            fcntl.ioctl(control, SIOCSIFADDR, wanted)
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for request, value in ((SIOCSIFADDR, address), (SIOCSIFNETMASK, "255.255.255.255")):
            fcntl.ioctl(control, request, struct.pack("16sHH4s8x", f"lo:{number + 1}".encode(), socket.AF_INET, 0, socket.inet_aton(value)))


if __name__ == "__main__":
    main()
