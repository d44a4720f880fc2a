"""What the kernel and the controller's own metrics say of the controller's process."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from e2e.kubernetes.controller_process import Replica

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """So far: processor seconds, and the most memory that was resident at once."""

    cpu: float
    megabytes: float


def used(pid: int) -> Used:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert peak
    return Used(cpu=(int(fields[11]) + int(fields[12])) / TICKS, megabytes=int(peak[1]) / 1024)


def at_rest(replica: Replica, templates: int, profiles: int) -> bool:
    """Everything has had its turn at least once, and nothing waits."""
    text = metrics(replica)
    left = total(text, "workqueue_depth") + total(text, "controller_runtime_active_workers")
    return left == 0 and turn(text, "sandboxtemplate") >= templates and turn(text, "securityprofile") >= profiles


def turns(replica: Replica) -> float:
    text = metrics(replica)
    return turn(text, "sandboxtemplate") + turn(text, "securityprofile")


def lag(text: str) -> float:
    """None of the event loop's beats was later than so many seconds: the bound of a bucket, the last one for all that is beyond."""
    found = re.findall(r'^groyne_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', text, re.MULTILINE)
    *buckets, (_, beats) = sorted((float(bound), float(count)) for bound, count in found)
    return next((bound for bound, count in buckets if count == beats), buckets[-1][0])


def turn(text: str, controller: str) -> float:
    return total(text, "controller_runtime_reconcile_total", controller)


def metrics(replica: Replica) -> str:
    with urlopen(f"http://127.0.0.1:{replica.port}/metrics", timeout=30) as answer:
        return str(answer.read(), "utf-8")


def total(metrics: str, name: str, controller: str = "") -> float:
    wanted = f'controller="{controller}"' if controller else ""
    lines = (line for line in metrics.splitlines() if line.startswith((f"{name}{{", f"{name} ")) and wanted in line)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
