"""What the suite starts ends with it, however it ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.cluster.processes import Processes

ROOT = Path(__file__).parents[3]
STARTS_ONE = """
import sys, threading, time
from pathlib import Path
from e2e.cluster.processes import Processes
processes = Processes(Path(sys.argv[1]))
processes.define("sleeper", ["sleep", "600"])
starter = threading.Thread(target=processes.start, args=("sleeper",))
starter.start()
starter.join()
time.sleep(0.2)
print(processes.pid("sleeper"), processes.running("sleeper"), flush=True)
time.sleep(600)
"""


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    made.stop_all()


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_killed_test_run_leaves_no_process(tmp_path):
    """And a process outlives the thread that asked for it."""
    run = subprocess.Popen([sys.executable, "-c", STARTS_ONE, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid, running = run.stdout.readline().split()
    assert running == "True"
    run.kill()
    run.wait()
    end = time.monotonic() + 5
    while alive(int(pid)):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_that_does_not_obey_is_killed(processes):
    processes.define("deaf", ["sh", "-c", "trap '' TERM; echo ready; sleep 600 & wait; wait"])
    processes.start("deaf")
    processes.wait_until("deaf", lambda: "ready" in processes.log("deaf").read_text())
    pid = processes.pid("deaf")
    processes.stop("deaf", grace=0.2)
    assert not alive(pid)


def test_one_that_ends_before_it_is_ready_is_told_with_its_last_words(processes):
    processes.define("brief", ["sh", "-c", "echo no such flag; exit 3"])
    processes.start("brief")
    with pytest.raises(RuntimeError, match="no such flag"):
        processes.wait_until("brief", lambda: False)


def test_one_that_is_never_ready_is_not_waited_for_for_ever(processes):
    processes.define("slow", ["sleep", "600"])
    processes.start("slow")
    with pytest.raises(TimeoutError, match="slow was not ready within 0 s"):
        processes.wait_until("slow", lambda: False, limit=0.1)


def test_a_second_of_the_same_name_is_refused(processes):
    processes.define("only", ["sleep", "600"])
    processes.start("only")
    with pytest.raises(RuntimeError, match="running already"):
        processes.start("only")
    assert os.getpgid(processes.pid("only")) != os.getpgid(0), "a terminal's Ctrl-C is ours to pass on"
