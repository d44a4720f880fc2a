"""The process that builds the wall from within and then becomes the sandbox's init. Run as `python -I -S -c … CONTROL_FD`.

In comes an Order over a socket; out go, over the same socket, the listening sockets and namespaces (as descriptors) and one
JSON line that says "started" or which step failed. Three processes come of it: the builder, which made the namespaces and
waits outside the new pid namespace; init (pid 1), which reaps, forwards signals and ends when Groyne does; COMMAND.

All three stay in the process group and session that Groyne has, so that the terminal's Ctrl-C, Ctrl-Z, fg and bg reach the
command exactly as they would without us. Init is immune to these: the kernel drops what a namespace's init does not handle.
"""

import array
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from groyne.isolation import kernel, mounts, powers
from groyne.isolation.spec import Order

_KEYBOARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGHUP, signal.SIGTERM)
_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_EXEC_FAILED = 127


class StepError(Exception):
    """The kernel refused `step`."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(step)
        self.step, self.error = step, error


def step(name: str, action: Callable[[], None]) -> None:
    try:
        action()
    except OSError as error:
        raise StepError(name, error) from error


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    dispositions = {number: signal.getsignal(number) for number in _KEYBOARD}
    for number in _KEYBOARD:
        signal.signal(number, signal.SIG_IGN)
    order = Order.decode(_receive(control))
    nothing = os.open("/dev/null", os.O_RDWR)  # now: while the mounts are made, /dev comes and goes
    try:
        _make_namespaces()
    except StepError as failed:
        _report_failure(control, failed)
        os._exit(1)
    init = os.fork()
    if init == 0:
        _init(control, order, dispositions, nothing)
    control.close()
    os._exit(_wait_outside(init, nothing))


def _receive(control: socket.socket) -> bytes:
    size = struct.unpack("!I", _exactly(control, 4))[0]
    return _exactly(control, size)


def _exactly(control: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        more = control.recv(size - len(got))
        if not more:
            os._exit(1)
        got += more
    return bytes(got)


def _report(control: socket.socket, message: dict[str, object], descriptors: tuple[int, ...] = ()) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([json.dumps(message).encode() + b"\n"], ancillary)


def _report_failure(control: socket.socket, failed: StepError) -> None:
    _report(control, {"failed": failed.step, "errno": failed.error.errno, "message": str(failed.error)})


def _make_namespaces() -> None:
    user, group = os.geteuid(), os.getegid()
    with suppress(OSError):  # only root can, and only root's groups open more than its files
        os.setgroups([])
    step("user namespace", lambda: kernel.unshare(kernel.CLONE_NEWUSER))
    step("user map", lambda: _map_identity(user, group))
    step("namespaces", lambda: kernel.unshare(_NAMESPACES))
    with suppress(OSError):  # a kernel without cgroups has nothing to separate
        kernel.unshare(kernel.CLONE_NEWCGROUP)


def _map_identity(user: int, group: int) -> None:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _wait_outside(init: int, nothing: int) -> int:
    """The builder: holds the terminal for nobody, has no power left, and passes init's exit code on."""
    _let_go_of_terminal(nothing)
    powers.drop_all()
    powers.become_invisible()
    _, status = os.waitpid(init, 0)
    return _exit_code(status)


def _exit_code(status: int) -> int:
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _let_go_of_terminal(nothing: int) -> None:
    """A pipe that the command closes must be seen closed by whoever reads it."""
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


Dispositions = dict[signal.Signals, Callable[[int, FrameType | None], object] | int | signal.Handlers | None]


def _init(control: socket.socket, order: Order, dispositions: Dispositions, nothing: int) -> None:
    # The builder's death is ours: whoever kills it ends the whole pid namespace.
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        listeners = _build(order)
        handed = (*(listener.fileno() for listener in listeners), os.open("/proc/self/ns/user", 0), os.open("/proc/self/ns/mnt", 0))
        step("powers", powers.drop_all)
    except StepError as failed:
        _report_failure(control, failed)
        os._exit(1)
    _report(control, {"listeners": len(listeners)}, handed)
    for descriptor in handed:
        os.close(descriptor)
    powers.become_invisible()
    os._exit(_run(control, order, dispositions, nothing) if order.argv else 0)


def _build(order: Order) -> list[socket.socket]:
    step("host name", lambda: kernel.sethostname(order.hostname))
    step("loopback", kernel.loopback_up)
    listeners: list[socket.socket] = []
    step("listening socket", lambda: listeners.extend(_listen(order.proxy_port)))
    step("mounts", lambda: mounts.build(order.view, order.cwd, order.hostname))
    return listeners


def _listen(port: int) -> list[socket.socket]:
    listeners = [socket.create_server(("127.0.0.1", port), backlog=1024, reuse_port=False)]
    with suppress(OSError):  # a machine without IPv6
        listeners.append(socket.create_server(("::1", port), family=socket.AF_INET6, backlog=1024))
    return listeners


def _run(control: socket.socket, order: Order, dispositions: Dispositions, nothing: int) -> int:
    signals_in, signals_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    failure_in, failure_out = os.pipe2(os.O_CLOEXEC)
    signal.set_wakeup_fd(signals_out)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    command = os.fork()
    if command == 0:
        _execute(order, failure_out, dispositions)
    os.close(failure_out)
    failure = os.read(failure_in, 4096)
    os.close(failure_in)
    _report(control, json.loads(failure) if failure else {"started": True})
    _let_go_of_terminal(nothing)
    os.chdir("/")
    return _serve(control, signals_in, command)


def _execute(order: Order, failure_out: int, dispositions: Dispositions) -> None:
    try:
        signal.set_wakeup_fd(-1)
        _restore_signals(dispositions)
        os.chdir(order.cwd)
        powers.leave_the_group_in_peace()
        _close_all_but(failure_out)
        os.execvpe(order.argv[0], order.argv, order.env)  # noqa: S606
    except OSError as error:
        code = 126 if _stands_somewhere(order.argv[0], order.env) else 127
        os.write(failure_out, json.dumps({"exit": code, "message": error.strerror}).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _stands_somewhere(name: str, env: dict[str, str]) -> bool:
    """A directory of PATH that is closed to us makes execvp say 'permission denied' of what is nowhere."""
    places = [""] if "/" in name else env.get("PATH", os.defpath).split(":")
    return any(os.path.exists(os.path.join(place, name)) for place in places)  # noqa: PTH110, PTH118


def _close_all_but(kept: int) -> None:
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208
        if descriptor > 2 and descriptor != kept:
            with suppress(OSError):  # the one that listed the directory
                os.close(descriptor)


def _restore_signals(dispositions: Dispositions) -> None:
    """As Groyne's caller had them: ignored stays ignored (nohup), all else default, nothing blocked."""
    for number, disposition in dispositions.items():
        signal.signal(number, signal.SIG_IGN if disposition == signal.SIG_IGN else signal.SIG_DFL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _serve(control: socket.socket, signals_in: int, command: int) -> int:
    """Init's whole life: reap, forward, leave with the command's status, or at once when Groyne is gone."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(signals_in, select.POLLIN)
    while True:
        status = _reap(command)
        if status is not None:
            return _exit_code(status)
        for descriptor, _ in poll.poll():
            if descriptor == signals_in:
                os.read(signals_in, 4096)
            elif not _forward(control, command):
                return 128 + signal.SIGKILL


def _reap(command: int) -> int | None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == command:
                return status
    return None


def _forward(control: socket.socket, command: int) -> bool:
    numbers = control.recv(64)
    for number in numbers:
        with suppress(ProcessLookupError):
            os.kill(command, number)
    return bool(numbers)
