"""A CONNECT that is refused before any rule: the client, the audit and `explain` are told the same."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.support.cli import groyne, json_lines
from e2e.support.serving import Serving, serving

PINNED = "pin.test:8443:127.0.0.1"
REFUSED = ["10.0.0.1:443", "169.254.169.254:80", "[::1]:443", "pin.test:444", "127.1:443", "a..test:443"]


RULES = """\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: p}
spec: {selector: {}, rules: [{name: none, match: [{domains: ["no.test"]}], actions: {block: {}}}]}
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("policy")
    (directory / "rules.yaml").write_text(RULES)
    return directory


@pytest.fixture(scope="module")
def running(policy: Path) -> Iterator[Serving]:
    with serving(policy, resolve=[PINNED]) as found:
        yield found


@pytest.mark.parametrize("target", REFUSED)
def test_client_and_explain_are_told_the_same(running: Serving, policy: Path, target: str) -> None:
    status, body = connect(running, target)
    [explained] = json_lines(groyne("explain", policy, "--resolve", PINNED, "--request", f"CONNECT {target}", "--output", "json").out)
    assert (status, body["reason"]) == (explained["status"], explained["reason"])
    assert (status, body["reason"]) in {(403, "AddressRefused"), (400, "MalformedHost")}
    assert (body["host"], body["method"], body["path"]) == (target, "CONNECT", "")


def test_the_audit_is_told_too(policy: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with serving(policy, resolve=[PINNED], options=["--audit", str(audit)]) as found:
        told = [connect(found, target) for target in REFUSED]
    written = [(line["status"], line["reason"], line["request_id"], line["path"]) for line in json_lines(audit.read_text())]
    assert written == [(status, body["reason"], body["request_id"], "") for status, body in told]


def connect(running: Serving, target: str) -> tuple[int, dict[str, str]]:
    client = http.client.HTTPConnection(*running.address, timeout=10)
    try:
        client.putrequest("CONNECT", target, skip_host=True)
        client.putheader("Host", target)
        client.endheaders()
        answer = http.client.HTTPResponse(client.sock, method="GET")
        answer.begin()
        return answer.status, json.loads(answer.read())
    finally:
        client.close()
