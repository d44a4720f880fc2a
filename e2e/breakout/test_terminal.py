"""The terminal: an interactive shell has it as without the wall, and nobody can type into it for the user."""

import os
import pty
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.breakout.wall import Wall

pytestmark = pytest.mark.isolation


class Terminal:
    """A person at a terminal: types, and waits until something is to be read."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self.said = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def reads(self, text: str, within: float = 20) -> bool:
        """Whether `text` appears after what was read before; nothing before it is looked at again."""
        while text not in self.said:
            if not select.select([self._descriptor], [], [], within)[0]:
                return False
            try:
                self.said += os.read(self._descriptor, 4096).decode(errors="replace")
            except OSError:
                return text in self.said
        self.said = self.said.partition(text)[2]
        return True

    def exit_code(self) -> int:
        self.reads("\0never")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def at_terminal(wall: Wall, argv: list[str]) -> Iterator[Terminal]:
    pid, descriptor = pty.fork()
    if pid == 0:
        # A run in the background ignores what the terminal's keys send, and so would everything that it starts.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if wall.user.uid is not None:
            os.setgroups([])
            os.setgid(wall.user.uid)
            os.setuid(wall.user.uid)
        os.chdir(wall.home)
        os.execve(argv[0], argv, {"PATH": os.environ["PATH"], "TERM": "dumb"})  # noqa: S606
    try:
        yield Terminal(pid, descriptor)
    finally:
        os.close(descriptor)


def test_nothing_can_be_typed_into_the_terminal(wall: Wall) -> None:
    """The control: without the wall this kernel lets a program type into its own terminal."""
    setting = Path("/proc/sys/dev/tty/legacy_tiocsti")
    if not setting.exists() or setting.read_text().strip() != "1":
        pytest.skip("this kernel lets nobody type into a terminal")
    typing = wall.argv("import fcntl; fcntl.ioctl(0, 0x5412, b'x'); return True")
    with at_terminal(wall, typing) as outside:
        assert outside.reads("REACHED")
    with at_terminal(wall, wall.driver(typing)) as inside:
        assert inside.reads("REFUSED EPERM")


def test_an_interactive_shell_controls_its_jobs(wall: Wall) -> None:
    shell = ["/bin/bash", "--norc", "--noprofile", "-i"]
    job = "sh -c 'echo star\"\"ted; exec sleep 100'\n"
    with at_terminal(wall, wall.driver(shell)) as terminal:
        terminal.type("PS1='rea''dy> '\n")
        assert terminal.reads("ready> ")
        terminal.type(job)
        assert terminal.reads("started")
        terminal.type("\x1a")
        assert terminal.reads("Stopped")
        assert terminal.reads("ready> ")
        terminal.type("kill %1; echo $((6*7))\n")
        assert terminal.reads("42")
        terminal.type(job)
        assert terminal.reads("started")
        terminal.type("\x03")
        assert terminal.reads("ready> ")
        terminal.type("exit 9\n")
        assert terminal.exit_code() == 9


def test_a_key_reaches_the_command_once(wall: Wall) -> None:
    body = """
        import signal, time
        got = []
        signal.signal(signal.SIGINT, lambda *_: got.append(1))
        print("up", flush=True)
        while not got: time.sleep(0.01)
        time.sleep(0.3)
        print(f"{len(got)} times", flush=True)
        return True
    """
    with at_terminal(wall, wall.driver(wall.argv(body))) as terminal:
        assert terminal.reads("up")
        terminal.type("\x03")
        assert terminal.reads("1 times")
        assert terminal.exit_code() == 0


def test_the_terminal_has_a_name_inside(wall: Wall) -> None:
    with at_terminal(wall, wall.driver(["sh", "-c", "tty; stty size"])) as terminal:
        assert terminal.reads("/dev/console")
        assert terminal.exit_code() == 0
