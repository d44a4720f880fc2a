"""`groyne run` without a command: a proxy on loopback that a test can talk to byte by byte, until it is stopped."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from urllib.parse import urlsplit

from e2e.support.cli import GROYNE, environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`environment` is what it told clients to set; `said` holds the lines of its standard error, as they come."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    said: "Queue[str]"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.environment["HTTPS_PROXY"])
        return str(parts.hostname), int(parts.port or 0)

    @property
    def authority(self) -> Path:
        """The CA of this run."""
        return Path(self.environment["NODE_EXTRA_CA_CERTS"])

    def wait_for(self, text: str, limit: float = 10) -> str:
        """The next line that holds `text`. Raises queue.Empty."""
        while text not in (line := self.said.get(timeout=limit)):
            pass
        return line

    def lines(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self.said.get_nowait())
            except Empty:
                return found


@contextmanager
def serving(
    directory: Path, *, resolve: Sequence[str] = (), upstream_ca: Path | None = None, options: Sequence[str] = ()
) -> Iterator[Serving]:
    arguments = [part for value in resolve for part in ("--resolve", value)]
    if upstream_ca is not None:
        arguments += ["--upstream-ca", str(upstream_ca)]
    command = [*GROYNE, "run", str(directory), *arguments, *options, "--output", "json"]
    process = subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    said: Queue[str] = Queue()
    Thread(target=_listen, args=(process, said), daemon=True).start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, f"groyne did not start: {said.get(timeout=5)}"
        yield Serving(process=process, environment=json.loads(first)["environment"], said=said)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _listen(process: "subprocess.Popen[str]", said: "Queue[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        said.put(line.rstrip("\n"))
