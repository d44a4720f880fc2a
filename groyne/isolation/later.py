"""Covers more places while the command runs. Run as `python -I -S -c … USER_NS MOUNT_NS`, with a JSON list of paths on stdin.

A cover over a file ends when the file is replaced by renaming on the host, and new sockets appear while a command runs. This
short-lived process enters the sandbox's user and mount namespaces, where its user has all powers as their creator, covers, and leaves. It
stays outside the sandbox's process list, so nothing inside can touch it.
"""

import json
import sys

from groyne.isolation import covers, kernel


def main() -> None:
    user, mounts = (int(descriptor) for descriptor in sys.argv[1:3])
    paths = json.load(sys.stdin)
    kernel.setns(user, kernel.CLONE_NEWUSER)
    kernel.setns(mounts, kernel.CLONE_NEWNS)
    for path in paths:
        covers.cover_later(path)
