"""However a run is asked to end, its directory, which holds credentials, is gone afterwards, and the exit code says what ended it."""

import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.support import cli

PROFILE = """\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: nothing}
spec: {selector: {}, rules: [{name: nothing, match: [{domains: ["*"]}], actions: {block: {statusCode: 403}}}]}
"""


@pytest.fixture
def policy() -> Iterator[Path]:
    """In a directory with a short name, because the sockets of a run lie below its TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="gs-", dir="/tmp") as place:
        root = Path(place)
        (root / "policy").mkdir()
        (root / "policy" / "profile.yaml").write_text(PROFILE)
        (root / "tmp").mkdir()
        yield root / "policy"


def start(policy: Path, *command: str) -> subprocess.Popen[str]:
    argv = [*cli.GROYNE, "run", str(policy), *command]
    env = cli.environment(TMPDIR=str(policy.parent / "tmp"))
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def left(policy: Path) -> list[Path]:
    return list((policy.parent / "tmp").glob("groyne-*/run-*"))


def appearing(policy: Path) -> Iterator[None]:
    """Waits until the run directory is there: Envoy is not, and no command."""
    until = time.monotonic() + 30
    while not left(policy) and time.monotonic() < until:
        time.sleep(0.005)
        yield


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_before_the_command_leaves_nothing_behind(policy: Path, number: signal.Signals) -> None:
    with start(policy, *cli.wall(), "--", "sleep", "60") as running:
        for _ in appearing(policy):
            pass
        running.send_signal(number)
        assert running.wait(30) == 128 + number
        assert left(policy) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_serving_ends_with_the_table_as_soon_as_it_was_announced(policy: Path, number: signal.Signals) -> None:
    with start(policy) as running:
        assert running.stdout
        assert running.stdout.readline().startswith("export ")
        running.send_signal(number)
        _, err = running.communicate(timeout=30)
        assert running.returncode == 0, err
        assert "no request was made" in err
        assert left(policy) == []
