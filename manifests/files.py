"""A directory, or one file, → the texts in it that may hold manifests, and what cannot be read.

Directories are read to the bottom, in the order of names, except hidden ones and `node_modules`; symbolic links to directories
are not followed (a link to `/` is a long walk), links to files are: mounted ConfigMaps are made of them. What is no regular file
is never opened, so that a FIFO does not hang and a device is not disturbed. Everything has a limit.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from crds.problem import Problem
from manifests.located import LocatedProblem

EXTENSIONS = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
MAX_FILE = 32 * 2**20
MAX_TOTAL = 256 * 2**20
MAX_FILES = 20_000
MAX_ENTRIES = 200_000
MAX_LEVELS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """`file` is the path as it is shown: the given directory's path, then the one below it."""

    file: str
    text: str


@dataclass(slots=True, kw_only=True)
class Files:
    """What a directory holds: paths to read, and problems met on the way there."""

    paths: list[Path]
    problems: list[LocatedProblem]
    entries: int = 0


def find(root: Path) -> Files:
    """The files that may be manifests. A single file is taken whatever its name is."""
    files = Files(paths=[], problems=[])
    try:
        is_directory = stat.S_ISDIR(root.stat().st_mode)
    except (OSError, ValueError) as error:
        files.problems.append(_unreadable(root, error))
        return files
    if not is_directory:
        files.paths.append(root)
        return files
    _walk(root, files, 0)
    if not files.paths and not any(located.problem.fatal for located in files.problems):
        files.problems.append(_located(root, "NoManifests", f"no file here ends in {', '.join(EXTENSIONS)}: is this the right directory?"))
    return files


def _walk(directory: Path, files: Files, level: int) -> None:
    try:
        with os.scandir(directory) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        files.problems.append(_unreadable(directory, error))
        return
    for entry in listed:
        files.entries += 1
        if files.entries > MAX_ENTRIES or len(files.paths) > MAX_FILES or level > MAX_LEVELS:
            if not any(located.problem.reason == "TooManyFiles" for located in files.problems):
                message = f"more than {MAX_FILES} manifests, or a very large or deep directory: name the one that holds the manifests"
                files.problems.append(_located(directory, "TooManyFiles", message))
            return
        _take(Path(entry.path), entry, files, level)


def _take(path: Path, entry: os.DirEntry[str], files: Files, level: int) -> None:
    if entry.is_dir(follow_symlinks=False):
        if not entry.name.startswith(".") and entry.name != "node_modules":
            _walk(path, files, level + 1)
    elif entry.name.startswith("."):
        return
    elif entry.name in KUSTOMIZATIONS:
        message = "kustomize is not run: write the output of `kubectl kustomize` into a file and name that"
        files.problems.append(_located(path, "KustomizationSkipped", message, fatal=False))
    elif entry.is_symlink() and path.is_dir():
        message = "a symbolic link to a directory is not followed: name the directory itself"
        files.problems.append(_located(path, "LinkSkipped", message, fatal=False))
    elif path.suffix.lower() in EXTENSIONS:
        files.paths.append(path)


def read(path: Path, remaining: int) -> TextFile | LocatedProblem:
    """The text of one file; `remaining` is how many bytes may be read at all."""
    try:
        content = _content(path, min(MAX_FILE, remaining))
    except (OSError, ValueError) as error:
        return _unreadable(path, error)
    if isinstance(content, Problem):
        return LocatedProblem(problem=content, file=str(path))
    return _decoded(path, content)


def _content(path: Path, limit: int) -> bytes | Problem:
    if not stat.S_ISREG(path.stat().st_mode):
        return Problem(reason="NotAFile", message="not a regular file: only files are read")
    # Between the look and the opening it may have become something else: opening must not wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Problem(reason="NotAFile", message="not a regular file: only files are read")
        content = file.read(limit + 1) if status.st_size <= limit else None
    if content is None or len(content) > limit:
        limits = f"{MAX_FILE >> 20} MiB, all together {MAX_TOTAL >> 20} MiB"
        return Problem(reason="FileTooLarge", message=f"a file may have {limits}: split it, or is it a manifest at all?")
    return content


def _decoded(path: Path, content: bytes) -> TextFile | LocatedProblem:
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _located(path, "NotUtf8", "this is UTF-16: save the file as UTF-8")
    try:
        return TextFile(file=str(path), text=content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = content[: error.start]
        problem = Problem(reason="NotUtf8", message="this is not UTF-8: save the file as UTF-8")
        column = error.start - (before.rfind(b"\n") + 1)
        return LocatedProblem(problem=problem, file=str(path), line=before.count(b"\n") + 1, column=column + 1)


def _unreadable(path: Path, error: OSError | ValueError) -> LocatedProblem:
    if isinstance(error, ValueError):
        return _located(path, "Unreadable", "this is no file name")
    if error.errno == errno.ENOENT:
        broken = path.is_symlink()
        return _located(path, "NotFound", "this symbolic link leads nowhere" if broken else "there is no such file or directory")
    return _located(path, "Unreadable", f"cannot be read: {error.strerror}")


def _located(path: Path, reason: str, message: str, *, fatal: bool = True) -> LocatedProblem:
    return LocatedProblem(problem=Problem(reason=reason, message=message, fatal=fatal), file=str(path))
