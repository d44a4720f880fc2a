"""Starting COMMAND behind the wall, and holding it from outside.

In comes a LaunchSpec, out goes a Sandboxed: the command's process as seen from here, and the listening sockets that exist inside
but are accepted on here. The wall is built by `inside`, in a fresh interpreter started with an empty environment. The far end of
the control socket is the lifeline: when this process ends, however it ends, init inside reads the end of it and everything inside dies.
It knows neither policies nor Envoy.
"""

import array
import asyncio
import errno
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from groyne.isolation import places, reasons
from groyne.isolation.guard import Guard, Seen, look
from groyne.isolation.spec import LaunchSpec, NotStarted, Order, Unsupported, View

# Appended: nothing that lies beside Groyne may stand in for a module of the standard library.
_ROOT = str(Path(__file__).resolve().parents[2])
_INSIDE = f"import sys; sys.path.append({_ROOT!r}); from groyne.isolation.inside import main; main()"
_LATER = f"import sys; sys.path.append({_ROOT!r}); from groyne.isolation.later import main; main()"
_MOST_DESCRIPTORS = 8


class Sandboxed:
    """A running command. Close it in the end: whatever it left behind in its pid namespace is killed then."""

    def __init__(self, process: subprocess.Popen[bytes], messages: "_Messages", listening: int, hidden: Seen) -> None:
        self._process = process
        self._control = messages.control
        self._guard = Guard(hidden, self._cover)
        self.listeners = tuple(socket.socket(fileno=descriptor) for descriptor in messages.descriptors[:listening])
        self._namespaces = tuple(messages.descriptors[listening:])
        for listener in self.listeners:
            listener.setblocking(False)

    @property
    def pid(self) -> int:
        """The process outside that stands for the command: it ends with its exit code."""
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    async def wait(self) -> int:
        """The command's exit code, 128+n if signal n ended it. Meanwhile hidden places are kept hidden."""
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._guard.watch())
            while (code := self._process.poll()) is None:
                await _ended(self._process.pid)
            watching.cancel()
        return code if code >= 0 else 128 - code

    def hide(self, paths: Iterable[Path]) -> None:
        """Cover more places of the host, such as a Secret's file that an edit has named. Takes some 30 ms."""
        self._guard.add(str(path) for path in paths)

    def _cover(self, paths: Iterable[str]) -> None:
        names = [str(descriptor) for descriptor in self._namespaces]
        if names:
            argv, order = [sys.executable, "-I", "-S", "-c", _LATER, *names], json.dumps(list(paths)).encode()
            subprocess.run(argv, input=order, env={}, pass_fds=self._namespaces, check=False, capture_output=True)

    def send_signal(self, number: int) -> None:
        """Deliver to the command. What the terminal's keys send reaches it by itself: it is in our process group."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._control.send(bytes([number]))

    def close(self) -> None:
        """End everything inside at once and take back what was lent."""
        self._process.kill()
        self._process.wait()
        self._control.close()
        for listener in self.listeners:
            listener.close()
        for namespace in self._namespaces:
            with suppress(OSError):
                os.close(namespace)
        self._namespaces = ()


async def _ended(pid: int) -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, done.set)
    try:
        await done.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def supported() -> Unsupported | None:
    """Build the wall once around nothing: only the kernel knows whether it may be built."""
    if (early := reasons.known_beforehand()) is not None:
        return early
    built = _start(Order(view=View(covered=("/run",)), cwd="/"))
    if isinstance(built, Unsupported | NotStarted):
        return built if isinstance(built, Unsupported) else None
    built.close()
    return None


def launch(spec: LaunchSpec) -> Sandboxed | Unsupported | NotStarted:
    """Run `spec.argv` behind the wall."""
    if (early := reasons.known_beforehand()) is not None:
        return early
    cwd = os.path.realpath(spec.cwd)
    view = places.view(spec)
    return _start(Order(argv=spec.argv, env=spec.env, cwd=cwd, proxy_port=spec.proxy_port, hostname=spec.hostname, view=view))


def _start(order: Order) -> Sandboxed | Unsupported | NotStarted:
    hidden = look(order.view.covered)
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _INSIDE, str(theirs.fileno())], env={}, pass_fds=(theirs.fileno(),))
    text = order.encode()
    try:
        ours.sendall(struct.pack("!I", len(text)) + text)
    except OSError:
        return _abandon(process, ours, {"failed": "interpreter", "errno": 0})
    messages = _Messages(ours)
    first = messages.next()
    if "listeners" not in first:
        return _abandon(process, ours, first)
    if order.argv:
        second = messages.next()
        if "started" not in second:
            _close_all(messages.descriptors)
            return _abandon(process, ours, {**second, "argv0": order.argv[0]})
    return Sandboxed(process, messages, int(str(first["listeners"])), hidden)


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _abandon(process: subprocess.Popen[bytes], control: socket.socket, message: dict[str, object]) -> Unsupported | NotStarted:
    process.kill()
    process.wait()
    control.close()
    if "exit" in message:
        return NotStarted(exit_code=int(str(message["exit"])), message=f"{message['argv0']}: {message['message']}")
    number = int(str(message.get("errno", errno.EIO)))
    return reasons.explain(str(message.get("failed", "start")), number, str(message.get("message", "")))


class _Messages:
    """JSON lines from inside, and the descriptors that come with them."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self._buffer = b""
        self.descriptors: list[int] = []

    def next(self) -> dict[str, object]:
        while b"\n" not in self._buffer:
            if not self._more():
                return {}
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, object] = json.loads(line)
        return message

    def _more(self) -> bool:
        room = socket.CMSG_LEN(_MOST_DESCRIPTORS * array.array("i").itemsize)
        text, ancillary, _, _ = self.control.recvmsg(4096, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                whole = array.array("i")
                whole.frombytes(content[: len(content) - len(content) % whole.itemsize])
                self.descriptors.extend(whole)
        self._buffer += text
        return bool(text)
