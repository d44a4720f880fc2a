"""`groyne`, run as a person runs it: a process with arguments, a directory and an environment.

The environment starts empty but for what a process needs, so that no proxy or CA setting of the machine decides a test.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

GROYNE = (sys.executable, "-m", "groyne")
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "GOPATH", "GOCACHE", "GOROOT", "CARGO_HOME", "RUSTUP_HOME", "JAVA_HOME", "PYTHONPATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    code: int
    out: str
    err: str
    audit: tuple[dict[str, object], ...] = field(default=())

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def environment(**more: str) -> dict[str, str]:
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | more


def groyne(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, stdin: str = "", limit: float = 90
) -> Finished:
    done = subprocess.run(
        [*GROYNE, *map(str, arguments)],
        check=False, capture_output=True, text=True, errors="replace", input=stdin, cwd=cwd, timeout=limit,
        env=dict(env) if env is not None else environment(),
    )  # fmt: skip
    return Finished(code=done.returncode, out=done.stdout, err=done.stderr)


def run(
    directory: Path,
    command: Sequence[str | Path],
    *,
    resolve: Sequence[str] = (),
    upstream_ca: Path | None = None,
    options: Sequence[str] = (),
    audit: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    limit: float = 90,
) -> Finished:
    """`groyne run`, behind the wall where this machine allows one."""
    arguments: list[str | Path] = ["run", directory, *options]
    for value in resolve:
        arguments += ["--resolve", value]
    if upstream_ca is not None:
        arguments += ["--upstream-ca", upstream_ca]
    if audit is not None:
        arguments += ["--audit", audit]
    arguments += [*wall(), "--", *command]
    done = groyne(*arguments, env=env, cwd=cwd, limit=limit)
    records = tuple(json.loads(line) for line in audit.read_text().splitlines()) if audit and audit.exists() else ()
    return Finished(code=done.code, out=done.out, err=done.err, audit=records)


@cache
def wall() -> tuple[str, ...]:
    """Nothing where isolation works; otherwise the option that does without."""
    from groyne.isolation.launch import supported  # noqa: PLC0415 - Linux only

    return () if supported() is None else ("--no-isolate",)


def json_lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]
