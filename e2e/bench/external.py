"""ext-proc beside a benched Envoy, as `groyne run` starts it, and a provider that issues one credential at once.

In: a scenario, and a directory. Out: what Envoy's configuration must know, and whose processor time counts besides.
"""

import base64
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dataplane.external import External
from e2e.bench.policies import TOKEN, Scenario
from groyne.external import ExtProc, beside
from groyne.rundir import RunDirectory
from groyne.workspace import Who, read_workspace

SANDBOX_TOKEN = base64.b64encode(json.dumps({"accessToken": "bench", "sandboxClientId": "bench"}).encode()).decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    external: External
    process: int


@asynccontextmanager
async def running_external(scenario: Scenario, directory: Path) -> AsyncIterator[Beside]:
    with providing() as url:
        policy, settings = directory / "policy.json", directory / "ext-proc.yaml"
        policy.write_text("\n---\n".join(json.dumps(each) for each in scenario.profiles))
        settings.write_text(json.dumps({"transport": scenario.transport, "provider-url": url}))
        workspace = read_workspace(policy, Who(), {})
        extproc = ExtProc(directory=RunDirectory(private=directory, public=directory), config=settings)
        await extproc.tell(workspace)
        try:
            yield Beside(external=beside(directory, workspace, token=SANDBOX_TOKEN), process=extproc.process_id)
        finally:
            await extproc.stop()


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"apiKey": TOKEN}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def providing() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
