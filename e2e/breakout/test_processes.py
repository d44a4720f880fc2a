"""The wall's processes and kernel: nothing outside is seen, signalled, traced or written to, and no power is left inside."""

import signal
import subprocess
import time

import pytest

from e2e.breakout.wall import Wall

pytestmark = pytest.mark.isolation

OTHERS = {
    "seeing it": "return os.path.exists(f\"/proc/{world['victim']}\")",
    "signalling it": 'os.kill(world["victim"], 0); return True',
    "tracing it": """
        called(libc.ptrace(16, world["victim"], 0, 0)); os.waitpid(world["victim"], 0x40000000)
        called(libc.ptrace(17, world["victim"], 0, 0))
        return True
    """,
    "its descriptors": "return os.listdir(f\"/proc/{world['victim']}/fd\")",
    "its memory": "return read(f\"/proc/{world['victim']}/maps\")",
    "a handle on it": 'return os.pidfd_open(world["victim"]) > 0',
    "its priority": 'return os.sched_getaffinity(world["victim"])',
}


@pytest.mark.parametrize("body", OTHERS.values(), ids=OTHERS.keys())
def test_processes_outside_do_not_exist(wall: Wall, body: str) -> None:
    assert wall.outside(body).reached
    assert not wall.inside(body).reached


GROYNE = {
    "signalling all": """
        for pid in range(1, 40):
            try: os.kill(pid, 15) if pid != os.getpid() else None
            except ProcessLookupError: pass
        return not os.path.exists("/proc/1/status")
    """,
    "signalling the process group": "signal_all = os.kill(0, 0); return os.getppid() != 1 and signal_all is None",
    "tracing init": "called(libc.ptrace(16, 1, 0, 0)); return True",
    "init's environment": 'return read("/proc/1/environ")',
    "init's memory": 'return open("/proc/1/mem", "rb")',
    "init's descriptors": 'return [os.readlink(f"/proc/1/fd/{number}") for number in os.listdir("/proc/1/fd")]',
    "init's root": 'return os.listdir("/proc/1/root")',
    "a descriptor of init": "init = os.pidfd_open(1); return called(libc.syscall(438, init, 3, 0)) >= 0",
    "init's memory by a system call": """
        buffer = ctypes.create_string_buffer(8)
        local, remote = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8), (ctypes.c_void_p * 2)(0x400000, 8)
        return called(libc.process_vm_readv(1, local, 1, remote, 1, 0)) > 0
    """,
    "entering init's namespaces": 'called(libc.setns(os.open("/proc/1/ns/mnt", 0), 0)); return True',
}


@pytest.mark.parametrize("body", GROYNE.values(), ids=GROYNE.keys())
def test_groynes_own_process_inside_holds_and_says_nothing(wall: Wall, body: str) -> None:
    """The control: init is there to be seen, and a process of one's own can be traced and read."""
    own = """
        child = os.fork()
        if child == 0: os.execv("/bin/sleep", ["sleep", "30"])
        while not (b"sleep" in read(f"/proc/{child}/cmdline") and read(f"/proc/{child}/maps")): pass
        assert os.path.exists("/proc/1/status")
        called(libc.ptrace(16, child, 0, 0))
        return read(f"/proc/{child}/maps")
    """
    assert wall.inside(own).reached
    assert not wall.inside(body).reached


def test_a_signal_to_its_own_process_group_stays_inside(wall: Wall) -> None:
    """The group is Groyne's too, for the terminal's sake. The control: the command's own child does get the signal."""
    body = """
        import signal
        told, tell = os.pipe()
        signal.signal(signal.SIGUSR1, lambda *_: None)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))
            os.write(tell, b"x")
            while True: signal.pause()
        os.read(told, 1)
        os.kill(0, signal.SIGUSR1)
        return os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
    """
    # A session of its own, or the control's failure would end the test runner.
    with subprocess.Popen(
        wall.driver(wall.argv(body)), cwd=wall.home, stdout=subprocess.PIPE, text=True, start_new_session=True, **wall.user.identity()
    ) as process:
        assert "REACHED" in process.communicate()[0]
    assert process.returncode == 0


POWERS = {
    "mounting": 'mount("tmpfs", "/mnt", "tmpfs"); return True',
    "unmounting": 'umount("/dev/shm", 2); return True',
    "the loopback's address": """
        import fcntl, struct
        with socket.socket() as any: fcntl.ioctl(any, 0x8914, struct.pack("16sh22x", b"lo", 0)); return True
    """,
    "the host name": 'called(libc.sethostname(b"x", 1)); return True',
    "another user": "os.setuid(1); return True",
    "another group": "os.setgroups([1]); return True",
    "reading others' files": 'open("probe", "w").close(); os.chmod("probe", 0); return open("probe")',
    "a device node": 'os.mknod("device", 0o60600, 0xFE00); return open("device")',
    "set-uid programs": 'return "NoNewPrivs:\\t1" not in read("/proc/self/status").decode()',
    "any capability": """
        lines = read("/proc/self/status").decode().splitlines()
        return any(int(line.split()[1], 16) for line in lines if line.startswith("Cap"))
    """,
    "io_uring": "return called(libc.syscall(425, 8, ctypes.create_string_buffer(120))) >= 0",
    "BPF": "return called(libc.syscall(321 if os.uname().machine == 'x86_64' else 280, 0, ctypes.create_string_buffer(72), 72)) >= 0",
    "user faults": "return called(libc.syscall(323 if os.uname().machine == 'x86_64' else 282, 1)) >= 0",
    "key rings": "return called(libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0)) >= 0",
    "the core pattern": 'return os.write(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY), b"|/tmp/x") > 0',
    "the module loader": 'return os.open("/proc/sys/kernel/modprobe", os.O_WRONLY) >= 0',
    "the kernel's magic key": 'return os.open("/proc/sysrq-trigger", os.O_WRONLY) >= 0',
    "the hot-plug helper": 'return os.open("/sys/kernel/uevent_helper", os.O_WRONLY) >= 0',
    "any writable file of the kernel's": """
        for top in ("/sys", "/proc/sys", "/proc/irq", "/proc/bus"):
            for directory, _, names in os.walk(top):
                for name in names:
                    if name != "ns_last_pid" and os.access(f"{directory}/{name}", os.W_OK): return f"{directory}/{name}"
    """,
    "control groups": """
        for directory, names, _ in os.walk("/sys/fs/cgroup"):
            if os.access(directory, os.W_OK): return directory
    """,
    "a disk": 'return [name for name in os.listdir("/dev") if name.startswith(("sd", "vd", "nvme", "mem", "kmsg", "log"))]',
    "another terminal": 'return [name for name in os.listdir("/dev/pts") if name != "ptmx"]',
}


@pytest.mark.parametrize("body", POWERS.values(), ids=POWERS.keys())
def test_no_power_is_left(wall: Wall, body: str) -> None:
    assert not wall.inside(body).reached


def test_what_ordinary_programs_need_is_there(wall: Wall) -> None:
    """The control of the powers: files, devices, processes, shared memory and a terminal of one's own work."""
    body = """
        import pty, tempfile
        open("own", "w").close(); os.chmod("own", 0o600); os.unlink("own")
        open("/dev/null", "w").write("x"); tempfile.TemporaryFile().write(b"x")
        assert len(os.urandom(4)) == len(os.read(os.open("/dev/urandom", 0), 4))
        open("/dev/shm/x", "w").close(); pty.openpty(); assert os.getpid() > 1 and os.listdir("/proc/self/fd")
        return os.waitpid(os.spawnlp(os.P_NOWAIT, "true", "true"), 0)
    """
    assert wall.inside(body).reached


def test_only_three_descriptors_are_inherited(wall: Wall) -> None:
    body = 'held = os.listdir("/proc/self/fd"); return [fd for fd in held if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}")]'
    assert not wall.inside(body, leak=str(wall.world["policies"]) + "/profile.yaml").reached


def test_shared_memory_of_others_is_not_there(wall: Wall) -> None:
    segment = wall.outside("return called(libc.shmget(0x67726F79, 4096, 0o1666)) >= 0")
    assert segment.reached
    find = "return called(libc.shmget(0x67726F79, 0, 0)) >= 0"
    try:
        assert wall.outside(find).reached
        assert not wall.inside(find).reached
    finally:
        wall.outside("called(libc.shmctl(libc.shmget(0x67726F79, 0, 0), 0, None)); return True")


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_code_is_the_commands(wall: Wall, script: str, code: int) -> None:
    assert wall.launch(["sh", "-c", script]).returncode == code


@pytest.mark.parametrize(("argv", "code"), [(["no-such-command"], 127), (["/"], 126)])
def test_a_command_that_cannot_start_is_told(wall: Wall, argv: list[str], code: int) -> None:
    finished = wall.launch(argv)
    assert finished.returncode == code
    assert argv[0] in finished.stderr


def test_a_signal_is_forwarded(wall: Wall) -> None:
    finished = wall.launch(["sh", "-c", "trap 'echo got; exit 5' TERM; read never < /dev/ptmx & wait"], signal=int(signal.SIGTERM))
    assert (finished.returncode, finished.stdout) in {(5, "got\n"), (143, "")}  # the signal may come before the trap


def test_what_the_command_leaves_behind_is_killed(wall: Wall) -> None:
    wall.launch(["sh", "-c", f"(trap '' HUP TERM; sleep 0.2; touch {wall.home}/survived) & exit 0"])
    time.sleep(0.4)
    assert not (wall.home / "survived").exists()


def test_everything_inside_dies_with_groyne(wall: Wall) -> None:
    mark = wall.home / "alive"
    driver = wall.driver(["sh", "-c", f"echo started; while :; do touch {mark}; sleep 0.05; done"])
    process = subprocess.Popen(driver, stdout=subprocess.PIPE, **wall.user.identity())
    assert process.stdout is not None
    assert process.stdout.readline() == b"started\n"
    process.kill()
    process.wait()
    assert process.stdout.read() == b""  # the command held the other end
    mark.unlink(missing_ok=True)
    time.sleep(0.2)
    assert not mark.exists()
