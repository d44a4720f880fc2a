"""Providers that are slow, dead or lie, behind a real Envoy and the real ext-proc: who must have the credential is refused in time.

Everybody else goes on meanwhile, nothing that a provider said gets out, and a provider that is well again is believed again.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from e2e.bench.world import free_port
from e2e.external.test_faults import Run
from e2e.external.test_provider import HOST, TOKEN
from e2e.support.serving import serving
from e2e.support.upstream import serve
from e2e.support.waiting import until

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")]
TIMEOUT = 1.0
SECRET = "sk-live-0123456789"
WELL = "sk-well-0123456789"
HUGE = 64 * 1024 * 1024
LIES = ("slow", "drips", "cut", "huge", "no-json", "no-key", "two-lines", "ended", "moved", "broken", "forbidden")

HEAD = """\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: p}
spec:
  selector: {}
  rules:
  - name: native
    match: [{domains: [api.test], paths: [{value: /native/}]}]
    actions: {headerManipulation: {set: [{name: x-team, value: native}]}}
"""
RULE = """\
  - name: {name}-{strategy}
    match: [{{domains: [api.test], paths: [{{value: /{strategy}/{name}}}]}}]
    actions:
      tokenTransformation:
        failStrategy: {strategy}
        credentialRef: {{credentialProvider: {{name: {name}}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
"""


@dataclass(slots=True)
class Provider:
    """Does to each name what the name says, until it is well."""

    url: str = ""
    well: bool = False
    targets: list[str] = field(default_factory=list)
    gave_up: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def do_GET(self):
        self.provider.targets.append(self.path)
        self.say(200, json.dumps({"apiKey": SECRET}).encode())

    def do_POST(self):
        self.provider.targets.append(self.path)
        name = json.loads(self.rfile.read(int(self.headers["content-length"])))["credentialProviderName"]
        with suppress(OSError):
            if self.provider.well:
                self.say(200, json.dumps({"apiKey": WELL}).encode())
            else:
                getattr(self, name.replace("-", "_"))()

    def slow(self):
        self.provider.gave_up.wait(60)
        self.say(200, json.dumps({"apiKey": SECRET}).encode())

    def drips(self):
        self.head(200, 1000)
        while not self.provider.gave_up.wait(0.1):
            self.wfile.write(b" ")

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def huge(self):
        self.head(200, HUGE)
        for _ in range(HUGE // 65_536):
            self.wfile.write((SECRET * 4096)[:65_536].encode())

    def no_json(self):
        self.say(200, f"<html>{SECRET}".encode())

    def no_key(self):
        self.say(200, json.dumps({"apiKey": {SECRET: 1}}).encode())

    def two_lines(self):
        self.say(200, json.dumps({"apiKey": f"{SECRET}\r\nx-more: 1"}).encode())

    def ended(self):
        self.say(200, json.dumps({"apiKey": SECRET, "expiration": "2001-01-01T00:00:00Z"}).encode())

    def moved(self):
        self.say(302, b"", location=self.provider.url + "elsewhere")

    def broken(self):
        self.say(500, json.dumps({"apiKey": SECRET, "error": SECRET}).encode())

    def forbidden(self):
        self.say(403, SECRET.encode(), **{"www-authenticate": SECRET})

    def say(self, status, body, **headers):
        self.head(status, len(body), **headers)
        self.wfile.write(body)

    def head(self, status, length, **headers):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Nobody reads it."""


@contextmanager
def providing(port: int = 0) -> Iterator[Provider]:
    provider = Provider()
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Lying", (Handler,), {"provider": provider}))
    server.daemon_threads = True
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield provider
    finally:
        provider.gave_up.set()
        server.shutdown()
        server.server_close()


@contextmanager
def running(directory: Path, url: str, *names: str) -> Iterator[Run]:
    policy, settings, sandbox = directory / "policy", directory / "settings.yaml", directory / "token.json"
    policy.mkdir()
    rules = [RULE.format(name=name, strategy=strategy) for name in names for strategy in ("Block", "Allow")]
    (policy / "policy.yaml").write_text(HEAD + "".join(rules))
    settings.write_text(json.dumps({"provider-url": url, "provider-timeout": TIMEOUT, "log-level": "debug"}))
    sandbox.write_text(json.dumps({"accessToken": TOKEN, "sandboxClientId": "client-7"}))
    given = ["--no-isolate", "--audit", str(directory / "audit.jsonl"), "--ext-proc", str(settings), "--sandbox-token", str(sandbox)]
    with serve() as upstream, serving(policy, resolve=upstream.resolve(HOST), options=given) as found:
        yield Run(serving=found, upstream=upstream, audit=directory / "audit.jsonl")


def timed(at: Run, path: str) -> tuple[int, float]:
    begun = time.monotonic()
    return at.ask(path), time.monotonic() - begun


def written(at: Run, directory: Path) -> list[Path]:
    return [path for place in (at.private, directory) for path in place.rglob("*") if path.is_file()]


def test_who_needs_the_credential_is_refused_in_time_and_nobody_else(tmp_path):
    """All lies at once, then a provider that is well: each is asked anew, and its keys arrive."""
    with providing() as provider, running(tmp_path, provider.url, *LIES) as at, ThreadPoolExecutor(len(LIES) * 2 + 1) as clients:
        before = at.resident_mb()
        strict = {name: clients.submit(timed, at, f"/Block/{name}") for name in LIES}
        lax = {name: clients.submit(timed, at, f"/Allow/{name}") for name in LIES}
        native = clients.submit(lambda: [timed(at, "/native/x") for _ in range(20)])
        assert {name: asked.result()[0] for name, asked in strict.items()} == dict.fromkeys(LIES, 503)
        assert {name: asked.result()[0] for name, asked in lax.items()} == dict.fromkeys(LIES, 200)
        assert {status for status, _ in native.result()} == {200}
        # Sixty seconds are what the slow one would take; Envoy itself waits for ext-proc a second longer than the provider's time.
        assert max(asked.result()[1] for asked in (*strict.values(), *lax.values())) < 15
        assert {each.target[:7] for each in at.upstream.received} == {"/Allow/", "/native"}
        assert {each.header("authorization") for each in at.upstream.received} == {None}
        assert set(provider.targets) == {"/"}, "a redirect was followed"
        assert at.resident_mb() - before < 48, "what is huge was read"

        provider.well = True
        for name in LIES:
            until(lambda name=name: at.ask(f"/Block/{name}") == 200, f"{name} is not believed again", 15)
        keys = [each.header("authorization") for each in at.upstream.received if each.target.startswith("/Block/")]
        assert keys == [f"Bearer {WELL}"] * len(LIES)
        assert not [line for line in at.serving.lines() if SECRET in line or WELL in line]
        assert "DEBUG" in (at.private / "external.log").read_text().upper(), "what is said at the lowest level is looked at"
        assert not [path for path in written(at, tmp_path) if any(secret in path.read_text(errors="replace") for secret in (SECRET, WELL))]


def test_a_provider_that_is_dead_costs_no_more_than_its_time_and_comes_back(tmp_path):
    """Nobody listens; later somebody does."""
    port = free_port()
    with running(tmp_path, f"http://127.0.0.1:{port}/", "slow") as at:
        status, seconds = timed(at, "/Block/slow")
        assert status == 503
        assert seconds < 10
        assert at.ask("/Allow/slow") == 200
        assert at.ask("/native/x") == 200
        with providing(port) as provider:
            provider.well = True
            until(lambda: at.ask("/Block/slow") == 200, "it is not asked again", 15)
        assert [each.header("authorization") for each in at.upstream.received] == [None, None, f"Bearer {WELL}"]
