"""Namespaces that end with one process: whatever was started, mounted or linked in them is the kernel's to clear away.

The first process in there does nothing but reap. It dies with the test run, and with it all others, be they shims of containers that
left their parents; then the mounts, the network and its link to the machine. Directories that tools have fixed ideas about are covered by
empty ones, and settings of the whole machine that kubelet would change are covered by files.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from e2e.cluster.processes import Processes

_COVERED = ("/run", "/var/lib", "/var/log")
_DEATH_SECONDS = 5.0
# As kubelet wants them: it looks, and is content.
_MACHINE_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


class Cage:
    """`network` and `inside` are put before a command: the first changes only its network, the second puts it wholly in there.

    What is started `inside` is killed, never asked to end, when its process here ends.
    """

    def __init__(self, processes: Processes, reaper: Path) -> None:
        self._processes = processes
        namespaces = ["--pid", "--mount", "--net", "--mount-proc", "--fork", "--kill-child=KILL"]
        processes.define("cage", ["unshare", *namespaces, "--", str(reaper)])
        processes.start("cage")
        children = Path(f"/proc/{processes.pid('cage')}/task/{processes.pid('cage')}/children")
        processes.wait_until("cage", lambda: len(children.read_text().split()) == 1 and _changed(int(children.read_text())))
        self.pid = int(children.read_text())
        self.network: Sequence[str] = ("nsenter", f"--net=/proc/{self.pid}/ns/net", "--")
        target = ["nsenter", f"--target={self.pid}", "--pid", "--mount", "--net", "--"]
        self.inside: Sequence[str] = (*target, "setpriv", "--pdeathsig", "KILL", "--")

    def run(self, *command: str, given: str | None = None) -> str:
        """In there, to its end. Raises RuntimeError with what it said."""
        done = subprocess.run([*self.inside, *command], input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def end(self) -> None:
        """By its first process, which `unshare` then buries. A second time nothing happens."""
        if not self._processes.running("cage"):
            return
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._processes.wait("cage", limit=_DEATH_SECONDS)
        self._processes.stop("cage", grace=0)

    def furnish(self, directory: Path) -> None:
        """`directory` is the node's own: it must not lie under what is covered."""
        lines = ["set -e", "mount --make-rshared /"]
        lines += [f"mount -t tmpfs -o mode=0755 tmpfs {path}" for path in _COVERED]
        lines += ["mkdir -p /run/netns /run/containerd /var/log/containers"]
        for name, value in _MACHINE_SETTINGS.items():
            cover = directory / "machine" / name.replace("/", ".")
            cover.parent.mkdir(exist_ok=True)
            cover.write_text(f"{value}\n")
            lines.append(f"mount --bind {cover} /proc/sys/{name}")
        self.run("sh", given="\n".join(lines))


def _changed(pid: int) -> bool:
    """`unshare` has become the reaper: until then the mounts are not all there."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pause"
    except FileNotFoundError:
        return False
