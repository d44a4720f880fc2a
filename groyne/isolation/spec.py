"""What the wall is asked for, and the ways in which it can say no.

These values cross from Groyne to the process that builds the wall as JSON over a socket, never through an environment or
an argument list, where the command could read them. Standard library only: the far side has nothing else.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """Why this system cannot isolate: which step the kernel refused, and one sentence with the remedy."""

    step: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """COMMAND itself could not be executed; `exit_code` is the shell's 127 (not found) or 126 (not executable)."""

    exit_code: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One command and its view of the machine.

    `hidden_paths` are covered by empty, unreadable, read-only mounts. `read_only_paths` stay readable, also within hidden ones,
    but cannot be changed, renamed or replaced from inside (the policy directory: who may edit the policy has no policy).
    `session` is Groyne's own, unscrubbed environment: it names the sockets of the login (SSH_AUTH_SOCK, XDG_RUNTIME_DIR, …).
    `proxy_port` is where the relay's sockets listen on the sandbox's own 127.0.0.1 and ::1.
    """

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    session: dict[str, str] = field(default_factory=dict)
    hidden_paths: tuple[Path, ...] = ()
    read_only_paths: tuple[Path, ...] = ()
    proxy_port: int = 15080
    hostname: str = "groyne"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The places of the host that the sandbox sees differently; paths are absolute and free of symlinks.

    `fresh` directories become empty private ones of the same mode, `covered` files and directories empty and unreadable,
    `read_only` ones stay as they are.
    """

    fresh: tuple[str, ...] = ()
    covered: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    runtime_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `inside` reads from its control socket. Without `argv` it builds the wall, reports and leaves."""

    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    proxy_port: int = 15080
    hostname: str = "groyne"
    view: View = field(default_factory=View)

    def encode(self) -> bytes:
        view = {name: getattr(self.view, name) for name in ("fresh", "covered", "read_only", "runtime_dir")}
        mine = {name: getattr(self, name) for name in ("argv", "env", "cwd", "proxy_port", "hostname")}
        return json.dumps({**mine, "view": view}).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Order":
        raw = json.loads(text)
        view = raw.pop("view")
        runtime_dir = view.pop("runtime_dir")
        lists = {name: tuple(paths) for name, paths in view.items()}
        return cls(**{**raw, "argv": tuple(raw["argv"]), "view": View(**lists, runtime_dir=runtime_dir)})
