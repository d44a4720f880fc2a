"""Runs attempts behind the wall and, as their control, without it: as an ordinary user and, where the suite has root, as root too.

An attempt is the body of a Python function `attempt(world)`, executed by a bare interpreter; it counts as *reached* when it returns
something true, as *refused* when it returns something false or raises OSError. `world` is a dict of paths, ports and process ids.
The launching side runs as the same user from a copy of `groyne/isolation` that this user can read, wherever the checkout is.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import groyne.isolation

NOBODY = 65534
HERE = Path(__file__).parent
_SUPPORTED = "import sys; sys.path.insert(0, sys.argv[1]); from groyne.isolation.launch import supported; print(supported() or 'yes')"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who attempts: a name for the test's id, the uid (None: whoever runs the suite), and a Python that this user can execute."""

    name: str
    uid: int | None
    python: str

    def identity(self) -> dict[str, Any]:
        """The arguments that make subprocess start something as this user."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def run(self, argv: list[str], cwd: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        path = {"PATH": os.environ["PATH"]}
        return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=60, env=path, check=False, **self.identity())


@dataclass(slots=True, kw_only=True)
class Outcome:
    reached: bool
    said: str
    exit_code: int


@dataclass(slots=True, kw_only=True)
class Wall:
    """One user's place to attempt from: `home` is the working directory of all attempts and belongs to the user."""

    user: User
    home: Path
    library: Path
    world: dict[str, object] = field(default_factory=dict)

    def outside(self, body: str) -> Outcome:
        """The control: the same attempt by the same user, with nothing in the way."""
        return _outcome(self.user.run(self.argv(body), cwd=self.home))

    def inside(self, body: str, **spec: object) -> Outcome:
        return _outcome(self.launch(self.argv(body), **spec))

    def launch(self, argv: list[str], **spec: object) -> subprocess.CompletedProcess[str]:
        return self.user.run(self.driver(argv, **spec), cwd=self.home)

    def driver(self, argv: list[str], **spec: object) -> list[str]:
        """The command line that runs `argv` behind the wall."""
        order = {"argv": argv, "cwd": str(self.home), "env": {"PATH": os.environ["PATH"], "TERM": "dumb"}, **spec}
        return [self.user.python, "-I", "-S", str(self.library / "driver.py"), str(self.library), json.dumps(order)]

    def argv(self, body: str) -> list[str]:
        prelude = (self.library / "prelude.py").read_text()
        function = "def attempt(world):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        return [self.user.python, "-I", "-S", "-c", f"{prelude}\n{function}\nconclude(attempt)", json.dumps(self.world)]


def _outcome(finished: subprocess.CompletedProcess[str]) -> Outcome:
    lines = finished.stdout.splitlines()
    verdict = lines[-1] if lines else ""
    if not verdict.startswith(("REACHED", "REFUSED")):
        raise AssertionError(f"the attempt came to no end: {finished.returncode}\n{finished.stdout}\n{finished.stderr}")
    return Outcome(reached=verdict.startswith("REACHED"), said=verdict, exit_code=finished.returncode)


def users() -> list[User]:
    if os.geteuid() != 0:
        return [User(name="self", uid=None, python=sys.executable)]
    ordinary = [User(name="nobody", uid=NOBODY, python=python) for python in (_python_for_all(),) if python]
    return [*ordinary, User(name="root", uid=None, python=sys.executable)]


def _python_for_all() -> str | None:
    """The suite's own interpreter may live in root's home: then any other of a version that Groyne supports."""
    check = "import sys, ctypes; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            tried = User(name="", uid=NOBODY, python=python).run([python, "-I", "-S", "-c", check])
        except OSError:
            continue
        if tried.returncode == 0:
            return python
    return None


def copy_library(to: Path) -> Path:
    """The isolation package alone, with what the attempts need beside it: it imports nothing else, which this proves in passing."""
    source = Path(groyne.isolation.__file__).parent
    shutil.copytree(source, to / "groyne" / "isolation", ignore=shutil.ignore_patterns("__pycache__"))
    (to / "groyne" / "__init__.py").touch()
    for name in ("driver.py", "prelude.py"):
        shutil.copy(HERE / name, to / name)
    subprocess.run(["/bin/chmod", "-R", "a+rX", str(to)], check=True)
    return to


def unsupported(user: User, library: Path) -> str:
    """Why this user cannot have a wall on this machine, or nothing."""
    said = user.run([user.python, "-I", "-S", "-c", _SUPPORTED, str(library)])
    return "" if said.stdout.strip() == "yes" else said.stdout + said.stderr
