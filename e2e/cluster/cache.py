"""A directory that is made once and kept: binaries that take minutes to build, images, whoever asks and however often.

In comes a name and what the result depends on, out goes a directory that holds it in full: it is made aside and renamed, under a
lock, so that of two test runs one builds and the other waits. Of one name the last few used are kept. It lies in $GROYNE_CACHE, or in
~/.cache/groyne/cluster.
"""

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Enough for the branches that somebody works on: Kubernetes' binaries are 180 MB each time.
_KEPT = 4


def root() -> Path:
    named = os.environ.get("GROYNE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "groyne" / "cluster"


def digest(*texts: str, files: Iterable[Path] = ()) -> str:
    """Of the texts and of what the files say, with their names."""
    found = hashlib.sha256(repr(texts).encode())
    for file in files:
        found.update(f"\n{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
    return found.hexdigest()[:16]


def made(name: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory `name` for `key`. `make` is given an empty directory to fill, and leaves nothing behind where it raises."""
    found = root() / f"{name}-{key}"
    root().mkdir(parents=True, exist_ok=True)
    with _locked(root() / f"{name}.lock"):
        if not found.is_dir():
            _make(found, name, make)
        os.utime(found)
        _forget_unused(name)
    return found


def _make(found: Path, name: str, make: Callable[[Path], None]) -> None:
    prefix = f".making-{name}-"
    for left in root().glob(f"{prefix}*"):  # by a run that was killed: the lock says that nobody else is at it
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root(), prefix=prefix) as work:
        aside = Path(work) / "made"
        aside.mkdir()
        make(aside)
        aside.rename(found)


def _forget_unused(name: str) -> None:
    found = [path for path in root().iterdir() if re.fullmatch(f"{re.escape(name)}-[0-9a-z]+", path.name)]
    for path in sorted(found, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
