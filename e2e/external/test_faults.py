"""The real ext-proc beside `groyne run`: killed, stopped, abandoned by its clients, never read. Nothing undecided is ever sent."""

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.external.load import under_load
from e2e.support.serving import Serving, serving
from e2e.support.upstream import Answer, Upstream, serve
from e2e.support.waiting import until
from unit_tests.dataplane.envoy_process import UnixConnection

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")]
HOST = "api.test"
POLICY = """\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: p}
spec:
  selector: {}
  rules:
  - name: issued
    match: [{domains: [api.test], paths: [{value: /v1/}]}]
    actions:
      headerManipulation: {set: [{name: x-team, value: harbour}]}
      tokenTransformation:
        failStrategy: Allow
        credentialRef: {credentialProvider: {name: vault}}
        apiKey: {valueTemplate: "Bearer {{ .Token }}"}
  - name: native
    match: [{domains: [api.test], paths: [{value: /v2/}]}]
    actions: {headerManipulation: {set: [{name: x-team, value: native}]}}
  - name: tools
    match: [{domains: [api.test], paths: [{value: /v1/mcp}]}]
    actions: {mcpToolPolicy: {defaultAction: allow, rules: [{method: tools/call, action: allow}]}}
"""
BIG = b"x" * 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    serving: Serving
    upstream: Upstream
    audit: Path

    @property
    def external(self) -> list[int]:
        """ext-proc's processes."""
        return descendants(self.serving.process.pid, "extproc")

    @property
    def private(self) -> Path:
        """The run directory, as ext-proc's own command line names it."""
        command = Path(f"/proc/{self.external[0]}/cmdline").read_text().split("\0")
        return Path(command[command.index("--listen") + 1].removeprefix("unix:")).parent

    def streams(self) -> int:
        """How many Envoy has open to ext-proc."""
        connection = UnixConnection(self.private / "admin.sock")
        connection.request("GET", "/stats?format=json&filter=cluster.groyne.external.upstream_rq_active")
        found = next(each for each in json.loads(connection.getresponse().read())["stats"] if each["name"].endswith("upstream_rq_active"))
        connection.close()
        return int(found["value"])

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.external[0]}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def ask(self, path: str) -> int:
        connection = http.client.HTTPConnection(*self.serving.address, timeout=15)
        connection.request("GET", f"http://{self.upstream.at(HOST)}{path}")
        status = connection.getresponse().status
        connection.close()
        return status

    def records(self, reason: str) -> int:
        return sum(json.loads(line)["reason"] == reason for line in self.audit.read_text().splitlines())


def descendants(parent: int, word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            named = word in (entry / "cmdline").read_text()
        except (OSError, NotADirectoryError):
            continue
        if int(fields[1]) == parent and named and fields[0] != "Z":
            found += [int(entry.name), *descendants(int(entry.name), word)]
    return found


def big_for_some(received) -> Answer:
    return Answer(body=BIG) if "big" in received.target else Answer()


@contextmanager
def run(directory: Path, *options: str) -> Iterator[Run]:
    policy, audit = directory / "policy", directory / "audit.jsonl"
    policy.mkdir()
    (policy / "policy.yaml").write_text(POLICY)
    with serve(answer=big_for_some) as upstream:
        given = ("--no-isolate", "--audit", str(audit), *options)
        with serving(policy, resolve=upstream.resolve(HOST), options=given) as found:
            yield Run(serving=found, upstream=upstream, audit=audit)


def test_killed_under_load_it_fails_closed_and_comes_back(tmp_path):
    """Three times: requests that need it are refused and counted, native rules lose none, nothing undecided arrives."""
    with run(tmp_path) as at:
        with under_load(at.serving.address, at.upstream.at(HOST), "/v1/a", "/v2/b") as load:
            outages = []
            for _ in range(3):
                time.sleep(1.0)
                moment = time.monotonic()
                for process in at.external:
                    os.kill(process, signal.SIGKILL)
                until(lambda m=moment: any(each.status == 503 for each in load.after(m, "/v1")), "nothing was refused", 10)
                refused = load.after(moment, "/v1")
                last = max(each.at for each in refused if each.status == 503)
                until(lambda m=last: any(each.status == 200 for each in load.after(m + 0.001, "/v1")), "it never came back", 20)
                back = next(each.at for each in load.after(last + 0.001, "/v1") if each.status == 200)
                outages.append(back - moment)
        assert {each.status for each in load.asked if each.path.startswith("/v2")} == {200}
        answers = {(each.status, each.reason) for each in load.asked if each.path.startswith("/v1")}
        assert answers == {(200, ""), (503, "ExtProcUnavailable")}
        sent = {(each.target[:3], each.header("x-team")) for each in at.upstream.received}
        assert sent == {("/v1", "harbour"), ("/v2", "native")}
        counted = sum(each.status == 503 for each in load.asked)
        until(lambda: at.records("ExtProcUnavailable") == counted, "refusals are not counted", 10)
        # Two seconds where nothing else wants the processors: the start is half a second of one of them.
        assert min(outages) < 2.0 + 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1), outages
        assert sum("ext-proc ended" in line for line in at.serving.lines()) == 3


def test_stopped_it_is_waited_for_no_longer_than_its_time(tmp_path):
    """A process that hangs is one that says nothing; when it goes on, so do requests."""
    with run(tmp_path, "--ext-proc-filter", "messageTimeout=300ms") as at:
        assert at.ask("/v1/a") == 200
        processes = at.external
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        begun = time.monotonic()
        assert at.ask("/v1/a") == 503
        assert time.monotonic() - begun < 3
        assert at.ask("/v2/a") == 200
        for process in processes:
            os.kill(process, signal.SIGCONT)
        until(lambda: at.ask("/v1/a") == 200, "it did not go on", 10)
        assert len([each for each in at.upstream.received if each.target == "/v1/a" and each.header("x-team") is None]) == 0


def test_a_thousand_streams_that_are_abandoned_leave_nothing(tmp_path):
    """Bodies that are promised and never sent; meanwhile and afterwards others are served."""
    with run(tmp_path) as at:
        assert at.ask("/v1/a") == 200
        before = at.resident_mb()
        for _ in range(4):
            clients = [promising(at) for _ in range(250)]
            until(lambda: at.streams() >= 250, "the streams were not opened", 20)
            assert at.ask("/v1/a") == 200
            for client in clients:
                client.close()
            until(lambda: at.streams() == 0, "streams of clients that left stay open", 20)
        assert at.ask("/v1/a") == 200
        assert at.resident_mb() - before < 40
        assert not [line for line in at.serving.lines() if "ext-proc ended" in line]


def promising(at: Run) -> socket.socket:
    client = socket.create_connection(at.serving.address)
    authority = at.upstream.at(HOST)
    head = f"POST http://{authority}/v1/mcp HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    client.sendall(head.encode() + b'{"jsonrpc"')
    return client


def test_clients_that_never_read_hold_up_nobody(tmp_path):
    """Forty of them, each owed five megabytes."""
    with run(tmp_path) as at:
        clients = []
        for _ in range(40):
            client = socket.create_connection(at.serving.address)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            authority = at.upstream.at(HOST)
            client.sendall(f"GET http://{authority}/v1/big HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() * 3)
            clients.append(client)
        until(lambda: len(at.upstream.received) >= 40, "not all were served", 20)
        begun = time.monotonic()
        assert [at.ask("/v1/a") for _ in range(20)] == [200] * 20
        assert time.monotonic() - begun < 30
        for client in clients:
            client.close()
        until(lambda: at.streams() == 0, "streams stay open", 20)


def test_an_edit_is_obeyed_by_both_and_a_run_that_needs_it_first_starts_it(tmp_path):
    """From no rule for ext-proc to one, and to another: each next request is decided by the edit."""
    with run(tmp_path) as at:
        policy = tmp_path / "policy" / "policy.yaml"
        for team in ("quay", "mole"):
            policy.write_text(POLICY.replace("harbour", team))
            at.serving.wait_for("the edited policy is in force", limit=30)
            assert at.ask("/v1/a") == 200
            assert at.upstream.received[-1].header("x-team") == team


def test_it_is_not_started_where_no_rule_needs_it(tmp_path):
    """And with the first such rule it is."""
    native = POLICY.replace("tokenTransformation:", "tokenTransformation:\n        disabled: true")
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "policy.yaml").write_text(native)
    with serve() as upstream, serving(tmp_path / "first", resolve=upstream.resolve(HOST), options=("--no-isolate",)) as found:
        at = Run(serving=found, upstream=upstream, audit=tmp_path / "none")
        assert at.external == []
        assert at.ask("/v1/a") == 200
        (tmp_path / "first" / "policy.yaml").write_text(POLICY.replace("harbour", "quay"))
        found.wait_for("the edited policy is in force", limit=30)
        assert at.external
        assert at.ask("/v1/a") == 200
        assert upstream.received[-1].header("x-team") == "quay"


def test_it_ends_with_the_run(tmp_path):
    """Also when the run is killed."""
    with run(tmp_path) as at:
        processes = at.external
        assert processes
        at.serving.process.kill()
        until(lambda: not any(alive(process) for process in processes), "ext-proc outlives its run", 10)


def alive(process: int) -> bool:
    try:
        return (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False
