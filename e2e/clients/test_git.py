"""git over HTTPS: a clone works with a credential that git does not have, a push is refused by the policy."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from e2e.clients import tools
from e2e.clients.harness import Place
from e2e.clients.rows import Row
from e2e.support.upstream import Answer, Answering, Received


def test_git(serving: Callable[[Answering], Place], tmp_path: Path) -> None:
    git = tools.tool("git")
    make_repository(git, tmp_path / "served" / "app.git", tmp_path / "first")
    place = serving(lambda received: backend(git, tmp_path / "served", received))
    script = f"{git} clone -q {place.url}/app.git && cat app/README && cd app && {git} commit -q --allow-empty -m more && {git} push -q"
    done = place.run(["sh", "-c", script], **identity())
    assert "moor slowly" in done.out, str(done)
    assert done.code != 0, "the push must fail"
    assert "403" in done.err, str(done)
    assert not [received for received in place.upstream.received if "receive-pack" in received.target]
    assert place.credentialed == tuple(place.upstream.received)
    Row(client="git", version=tools.version(git, "--version"), finds="`http.proxy` by `GIT_CONFIG_*`, `GIT_SSL_CAINFO`",
        shown="clone; push refused").report()  # fmt: skip


def identity() -> dict[str, str]:
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (("NAME", "A"), ("EMAIL", "a@example.com"))}
    return {**who, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}


def make_repository(git: str, bare: Path, work: Path) -> None:
    def run(*arguments: str | Path, cwd: Path = work) -> None:
        subprocess.run([git, *arguments], check=True, cwd=cwd, capture_output=True, env={**os.environ, **identity()})

    work.mkdir()
    bare.mkdir(parents=True)
    run("init", "-q", "-b", "main", ".")
    (work / "README").write_text("moor slowly\n")
    run("add", "README")
    run("commit", "-q", "-m", "first")
    run("clone", "-q", "--bare", work, bare, cwd=bare.parent)


def backend(git: str, root: Path, received: Received) -> Answer:
    """`git http-backend` by CGI, which is how git serves itself."""
    target = urlsplit(received.target)
    cgi = {
        "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1", "REQUEST_METHOD": received.method, "PATH_INFO": target.path,
        "QUERY_STRING": target.query, "CONTENT_TYPE": received.header("content-type") or "", "REMOTE_USER": "agent",
        "HTTP_CONTENT_ENCODING": received.header("content-encoding") or "", "GIT_PROTOCOL": received.header("git-protocol") or "",
        "CONTENT_LENGTH": str(len(received.body)),
    }  # fmt: skip
    done = subprocess.run(
        [git, "http-backend"], input=received.body, capture_output=True, check=True, env={**os.environ, **identity(), **cgi}
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    return Answer(status=int(headers.pop("Status", "200").split()[0]), body=body, headers=tuple(headers.items()))
