"""Where a Secret's value is when it is not in the manifest: an environment variable, a file, or what a command prints.

A Secret says so in an annotation for each key, `groyne.dev/value-from.KEY: env:NAME | file:PATH | exec:COMMAND`, so that no
plain-text manifest is needed on a laptop. In comes that text, out goes the value or a Problem; no Problem, exception or log
holds a value, nor what the command said on stderr. Commands run here, outside the sandbox, with Groyne's own environment and
without a shell.
"""

import os
import select
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from crds.problem import Problem

ANNOTATION = "groyne.dev/value-from."
_CAP = 64 << 10
_DEADLINE = 10.0


def sources(annotations: Mapping[str, str]) -> dict[str, str]:
    """Secret key to source, for each annotation that names one."""
    return {name.removeprefix(ANNOTATION): source for name, source in annotations.items() if name.startswith(ANNOTATION)}


def source_file(source: str, *, manifest_directory: Path, environ: Mapping[str, str]) -> Path | None:
    """The file behind a `file:` source, which the sandbox must not see."""
    kind, _, rest = source.partition(":")
    return _located(rest.strip(), manifest_directory, environ) if kind.strip() == "file" and rest.strip() else None


def resolve(key: str, source: str, *, manifest_directory: Path, environ: Mapping[str, str], deadline: float = _DEADLINE) -> bytes | Problem:
    """The value of one key. A missing value is a Problem that is not fatal: the rule stands, its credential is unresolved."""
    kind, _, rest = source.partition(":")
    rest = rest.strip()
    if kind.strip() == "env" and rest:
        found = _from_environment(rest, environ)
    elif kind.strip() == "file" and rest:
        found = _from_file(_located(rest, manifest_directory, environ))
    elif kind.strip() == "exec" and rest:
        found = _from_command(rest, manifest_directory, environ, deadline)
    else:
        return _problem(key, "InvalidSource", "write env:NAME, file:PATH or exec:COMMAND", fatal=True)
    if isinstance(found, str):
        return _problem(key, "SourceUnavailable", found)
    return found or _problem(key, "SourceUnavailable", f"{kind.strip()}: gave an empty value")


def _problem(key: str, reason: str, message: str, *, fatal: bool = False) -> Problem:
    return Problem(reason=reason, message=message, field=f"metadata.annotations[{ANNOTATION}{key}]", fatal=fatal)


def _located(path: str, manifest_directory: Path, environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME", "")
    expanded = home + path[1:] if home and (path == "~" or path.startswith("~/")) else path
    return manifest_directory / expanded


def _from_environment(name: str, environ: Mapping[str, str]) -> bytes | str:
    value = environ.get(name)
    return f"the environment variable {name} is not set: export it before the run" if value is None else os.fsencode(value)


def _from_file(path: Path) -> bytes | str:
    try:
        # Without waiting: a FIFO would let us hang here.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        return f"{path} cannot be read ({getattr(error, 'strerror', None) or 'invalid name'})"
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return f"{path} is not a regular file"
        return _fitting(os.read(descriptor, _CAP + 1), str(path))
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    finally:
        os.close(descriptor)


def _fitting(value: bytes, what: str) -> bytes | str:
    """Without the one line end that editors and commands add."""
    if len(value) > _CAP:
        return f"{what} gave more than {_CAP >> 10} KiB"
    return value.removesuffix(b"\n").removesuffix(b"\r")


def _from_command(command: str, directory: Path, environ: Mapping[str, str], deadline: float) -> bytes | str:
    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"the command cannot be split into words ({error})"
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=dict(environ),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return f"{words[0]} cannot be run ({getattr(error, 'strerror', None) or 'invalid argument'})"
    with process:
        try:
            return _collected(process, words[0], deadline)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _collected(process: subprocess.Popen[bytes], name: str, deadline: float) -> bytes | str:
    value = bytearray()
    end = time.monotonic() + deadline
    assert process.stdout is not None  # noqa: S101 - asked for by stdout=PIPE
    while len(value) <= _CAP:
        if not select.select([process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            return f"{name} did not finish within {deadline:g} s"
        more = os.read(process.stdout.fileno(), _CAP)
        if not more:
            return _after_end(process, name, bytes(value), end - time.monotonic())
        value += more
    return _fitting(bytes(value), name)


def _after_end(process: subprocess.Popen[bytes], name: str, value: bytes, left: float) -> bytes | str:
    try:
        status = process.wait(max(0.1, left))
    except subprocess.TimeoutExpired:
        return f"{name} closed its output but did not finish in time"
    return _fitting(value, name) if status == 0 else f"{name} ended with status {status}"
