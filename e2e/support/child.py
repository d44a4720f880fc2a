"""A process of a test's own: begun with its output in a file, and ended whatever the test does."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.kubernetes.controller_process import ROOT, environment

PATIENCE = 20.0


@contextmanager
def started(log: Path, *command: str, **more: Any) -> Iterator["subprocess.Popen[Any]"]:
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, stderr=out, env=environment(), **{"stdout": out, **more})
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()  # that is how it is told, so that it can end what it has begun itself
            waited(process)
        else:
            ended(process)


def ended(process: "subprocess.Popen[Any]") -> None:
    """It is asked first."""
    if process.poll() is None:
        process.terminate()
        waited(process)


def waited(process: "subprocess.Popen[Any]") -> None:
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
