"""The run directory: what Envoy reads, secrets among it. 0700, its files 0600, gone at the end.

Beside it lies a public directory with what the command may read: the CA certificate and bundles. A killed run leaves both
behind; its lock is free then, and the next start removes them. Nothing here knows what the files mean.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from groyne.output import because

LOCK = "lock"
LONGEST = 75
"""Bytes; a socket's path has 107 at most, and `/run-abcdefgh/private/proxy.sock` comes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """`private` is hidden from the command; `public` is what it is shown."""

    private: Path
    public: Path

    @property
    def everyones(self) -> Path:
        """Where all runs of this user are."""
        return self.private.parent.parent

    def write(self, name: str, text: str) -> None:
        """Replaces a file as a whole, by rename, so that Envoy sees the old one or the new one."""
        replace_file(self.private / name, text.encode(), 0o600)

    def publish(self, name: str, content: bytes) -> Path:
        path = self.public / name
        replace_file(path, content, 0o644)
        return path

    def remove(self, name: str) -> None:
        (self.private / name).unlink(missing_ok=True)


@contextmanager
def run_directory(parent: Path) -> Iterator[RunDirectory]:
    """A fresh run directory below one of this user's own. Raises OSError, fit for the user, where none can be made."""
    home = user_directory(parent)
    with ExitStack() as stack:
        # One start at a time: a directory that has no lock yet looks like one that a killed run left behind.
        with locked(home / LOCK):
            remove_stale(home)
            root = Path(tempfile.mkdtemp(prefix="run-", dir=home))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
            stack.enter_context(locked(root / LOCK))
        made = RunDirectory(private=root / "private", public=root / "public")
        made.private.mkdir(mode=0o700)
        made.public.mkdir(mode=0o755)
        yield made


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def temporary_directory(environ: Mapping[str, str]) -> Path:
    """TMPDIR, or /tmp. Nothing else is tried: secrets must not land where nobody asked for them."""
    return Path(environ.get("TMPDIR") or "/tmp").absolute()  # noqa: S108 - a directory that only the user can read is made in it


def user_directory(parent: Path) -> Path:
    path = parent / f"groyne-{os.getuid()}"
    if len(os.fsencode(path)) > LONGEST:
        raise ValueError(f"{parent} is too long a name for the sockets in it: set TMPDIR to a directory with a shorter one")
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OSError(f"no directory can be made in {parent} ({because(error)}): set TMPDIR to one where you can write") from error
    status = path.lstat()
    if status.st_uid != os.getuid() or path.is_symlink() or status.st_mode & 0o077:
        raise PermissionError(f"{path} is not a directory that only you can read: remove it, or set TMPDIR")
    return path


def remove_stale(home: Path) -> None:
    """Removes what runs left behind that ended without a chance to do so."""
    for root in home.glob("run-*"):
        try:
            with (root / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
        except BlockingIOError:
            continue
        except OSError:
            shutil.rmtree(root, ignore_errors=True)


def replace_file(path: Path, content: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    temporary.chmod(mode)
    temporary.replace(path)
