"""What every attempt has at hand: raw system calls and a verdict. Runs inside, from the command line, without site-packages."""

import ctypes
import errno
import json
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER, NEWPID, NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000
BIND, REC, PRIVATE, REMOUNT, READ_ONLY, MOVE = 4096, 16384, 1 << 18, 32, 1, 8192


def called(result):
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def mount(source, target, kind=None, flags=0, options=None):
    called(libc.mount(*(text.encode() if text else None for text in (source, target, kind)), flags, options.encode() if options else None))


def umount(target, flags=0):
    called(libc.umount2(target.encode(), flags))


def nested(flags=NEWNS):
    """Become the all-powerful root of a user namespace of one's own: what any agent may do on most systems."""
    uid, gid = os.getuid(), os.getgid()
    called(libc.unshare(NEWUSER | flags))
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            os.write(os.open(f"/proc/self/{name}", os.O_WRONLY), text.encode())
    except PermissionError:  # without CAP_SETFCAP uid 0 cannot be mapped again: the new namespace's powers are there all the same
        if uid != 0:
            raise


def cover(world):
    """The same covers as the wall's, but in the attempt's own namespace, where nothing locks them: the attempts' control."""
    mount("none", "/", flags=REC | PRIVATE)
    mount("/dev/null", world["secret"], flags=BIND)
    mount("tmpfs", world["run_directory"], "tmpfs")
    mount(world["policies"], world["policies"], flags=BIND)
    mount("none", world["policies"], flags=BIND | REMOUNT | READ_ONLY)


def read(path):
    return open(path, "rb").read()


def talk(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as client:
        client.settimeout(2)
        client.connect(address)
        client.send(b"hello")
        return client.recv(100) == b"reached"


def conclude(attempt):
    try:
        verdict = attempt(json.loads(sys.argv[1]))
    except OSError as error:
        print("REFUSED", errno.errorcode.get(error.errno or 0, type(error).__name__), error)
    else:
        print("REACHED" if verdict else "REFUSED", repr(verdict)[:200])
