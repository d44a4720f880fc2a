"""What `groyne explain` answers is what a client meets: the same requests are explained, and then sent through a real Envoy.

Where something is refused, status and body are the same, also those of a refused CONNECT; only the request id differs.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.support import cli
from e2e.support.pki import Authority
from e2e.support.upstream import serve

DRIVER = Path(__file__).parent / "support" / "driver.py"
VALUE = "sk-live-explain-0123456789"
POLICY = f"""\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {{name: p}}
spec:
  selector: {{}}
  rules:
  - name: stamp
    match: [{{domains: [api.test, plain.test]}}]
    actions: {{headerManipulation: {{set: [{{name: x-stamp, value: "für Agenten"}}], remove: [x-old]}}}}
  - name: no-delete
    match: [{{domains: [api.test], methods: [DELETE]}}]
    actions: {{block: {{statusCode: 451, body: "Nicht für Agenten.\\n"}}}}
  - name: no-admin
    match: [{{domains: ["*"], paths: [{{type: Prefix, value: /admin}}], schemes: [http]}}, {{domains: [api.test], paths: [{{value: /admin}}]}}]
    actions: {{block: {{}}}}
  - name: raw-byte
    match: [{{domains: [api.test], headers: [{{name: x-raw, type: Regex, value: "^\\\\xe9$"}}]}}]
    actions: {{block: {{statusCode: 418}}}}
  - name: key
    match: [{{domains: [api.test], schemes: [https]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: key}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
  - name: lost-key
    match: [{{domains: [lost.test], schemes: [https]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: lost}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
  - name: tools
    match: [{{domains: [mcp.test]}}]
    actions: {{mcpToolPolicy: {{rules: [{{method: tools/call, toolNames: [read], action: allow}}]}}}}
  - name: known
    match: [{{domains: [api.test, lost.test, mcp.test]}}]
    actions: {{bypass: true}}
  - name: one-port
    match: [{{domains: [tunnel.test], ports: [1]}}]
    actions: {{block: {{}}}}
  - name: never
    match: [{{domains: [never.test]}}]
    actions: {{block: {{statusCode: 410, body: gone}}}}
  - name: nothing-below
    match: [{{domains: ["*.evil.test"]}}]
    actions: {{block: {{}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: {VALUE}}}
"""
HOSTS = ("api.test", "lost.test", "mcp.test", "tunnel.test", "never.test", "a.evil.test", "plain.test")
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}'
VERSION = [["MCP-Protocol-Version", "2025-06-18"]]
REQUESTS = {
    "a credential": ("GET", "https", "api.test", "/", [], ""),
    "a credential and a removed header": ("GET", "https", "API.test", "/x?y=z", [["X-Old", "1"]], ""),
    "an echo": ("TRACE", "https", "api.test", "/", [], ""),
    "a rule's own words": ("DELETE", "https", "api.test", "/x", [], ""),
    "the standard words": ("GET", "https", "api.test", "/admin/%7ex?secret=1", [], ""),
    "an escaped slash": ("GET", "https", "api.test", "/a%2fb", [], ""),
    "two hosts": ("GET", "https", "api.test", "/", [["Host", "other.test"]], ""),
    "a byte that is no text": ("GET", "https", "api.test", "/", [["x-raw", "\udce9"]], ""),
    "the same letter as text": ("GET", "https", "api.test", "/", [["x-raw", "é"]], ""),
    "a credential that is missing": ("GET", "https", "lost.test", "/", [], ""),
    "a missing one is not for an echo": ("TRACE", "https", "lost.test", "/", [], ""),
    "a tool that is allowed": ("POST", "https", "mcp.test", "/mcp", VERSION, CALL % "read"),
    "a tool that is not": ("POST", "https", "mcp.test", "/mcp", VERSION, CALL % "delete"),
    "no tool at all": ("GET", "https", "mcp.test", "/mcp", [], ""),
    "a host that nobody reads": ("GET", "https", "tunnel.test", "/admin", [], ""),
    "a host that is blocked": ("GET", "https", "never.test", "/x", [], ""),
    "below a blocked suffix": ("GET", "https", "a.evil.test", "/x?y", [], ""),
    "a private address": ("GET", "https", "127.0.0.9", "/", [], ""),
    "in the clear": ("GET", "http", "plain.test", "/", [["x-old", "1"]], ""),
    "in the clear, refused": ("GET", "http", "plain.test", "/admin", [], ""),
    "in the clear, no key": ("GET", "http", "api.test", "/", [], ""),
    "in the clear, a bad host": ("GET", "http", "plain..test", "/", [], ""),
}
FIELDS = {"verdict", "status", "body", "setHeaders", "removeHeaders", "intercepted", "rules"}


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.yaml").write_text(POLICY)
    return tmp_path / "policy"


def test_what_is_explained_is_what_happens(policy: Path, world: Authority, tmp_path: Path) -> None:
    with serve(certificates=world, hosts=HOSTS) as secure, serve() as plain:
        lines = [written(case, secure.port if case[1] == "https" else plain.port) for case in REQUESTS.values()]
        resolve = [*secure.resolve(*HOSTS), *plain.resolve(*HOSTS)]
        answers = explained(policy, lines, resolve)
        (tmp_path / "requests.json").write_text(json.dumps([latin(line) for line in lines]))
        command = [sys.executable, DRIVER, tmp_path / "requests.json"]
        done = cli.run(policy, command, resolve=resolve, upstream_ca=world.bundle)
        results = cli.json_lines(done.out)
        assert len(answers) == len(results) == len(lines), str(done)
        for name, answer, result in zip(REQUESTS, answers, results, strict=True):
            agrees(name, answer, result)
            if answer["verdict"] != "blocked":
                received = (secure if REQUESTS[name][1] == "https" else plain).received[int(result["headers"]["x-received"])]
                changed(name, answer, received)
    verdicts = {str(answer["verdict"]) for answer in answers}
    assert verdicts == {"passthrough", "mutated", "blocked", "bypassed"}


def written(case: tuple, port: int) -> dict:
    method, scheme, host, path, headers, body = case
    return {"method": method, "scheme": scheme, "authority": f"{host}:{port}", "path": path, "headers": headers, "body": body}


def latin(line: dict) -> dict:
    """As the driver takes it: one character a byte."""
    headers = [[name, value.encode("utf-8", "surrogateescape").decode("latin-1")] for name, value in line["headers"]]
    return {**line, "headers": headers}


def explained(policy: Path, lines: list[dict], resolve: list[str]) -> list[dict]:
    options = [option for value in resolve for option in ("--resolve", value)]
    done = cli.groyne("explain", policy, *options, "--reveal", "--requests", "-", stdin="".join(json.dumps(line) + "\n" for line in lines))
    assert done.code == 3, str(done)
    return cli.json_lines(done.out)


def agrees(name: str, answer: dict, result: dict) -> None:
    if answer["verdict"] != "blocked":
        assert result["status"] == 200, (name, answer, result)
        return
    assert result["status"] == answer["status"], (name, answer, result)
    assert "x-received" not in result["headers"], (name, result)
    assert comparable(result["body"]) == comparable(answer["body"]), (name, answer, result)


def comparable(body: str) -> object:
    try:
        return {**json.loads(body), "request_id": ""}
    except ValueError:
        return body


def changed(name: str, answer: dict, received: object) -> None:
    """The upstream got just what was explained."""
    for header, value in answer["setHeaders"].items():
        assert received.header(header).encode("latin-1").decode() == value, (name, header)
    for header in answer["removeHeaders"]:
        assert received.header(header) is None, (name, header)
    if "authorization" not in answer["setHeaders"]:
        assert received.header("authorization") is None, name


def explain(policy: Path, *arguments: str) -> tuple[int, dict, str]:
    done = cli.groyne("explain", policy, "--output", "json", *arguments)
    return done.code, json.loads(done.out) if done.out else {}, done.err


@pytest.mark.parametrize(
    ("request_", "code", "verdict", "status"),
    [
        ("GET https://api.test/a", 0, "bypassed", None),
        ("DELETE https://api.test/a", 3, "blocked", 451),
        ("GET https://lost.test/", 3, "blocked", 503),
        ("GET https://user@api.test/", 3, "blocked", 400),
        ("CONNECT api.test:443", 0, "bypassed", None),
        ("CONNECT https://never.test:443", 3, "blocked", 410),
        ("CONNECT tunnel.test:1", 3, "blocked", 403),
        ("CONNECT tunnel.test:443", 0, "passthrough", None),
    ],
)
def test_one_request_is_one_object_and_one_exit_code(policy: Path, request_: str, code: int, verdict: str, status: int | None) -> None:
    exit_code, answer, _ = explain(policy, "--request", request_)
    assert exit_code == code
    assert (answer["verdict"], answer["status"]) == (verdict, status)
    assert answer.keys() >= FIELDS
    for trace in answer["rules"]:
        assert trace.keys() == {"profile", "rule", "matched", "acted", "engine", "why"}
        assert trace["why"]
    assert VALUE not in json.dumps(answer)


def test_bytes_on_the_command_line_are_taken_as_they_are(policy: Path) -> None:
    argv = [
        *(part.encode() for part in cli.GROYNE),
        b"explain",
        bytes(policy),
        b"--request",
        b"GET https://api.test/",
        b"-H",
        b"x-raw: \xe9",
    ]
    done = subprocess.run([*argv, b"-o", b"json"], capture_output=True, check=False, env=cli.environment(LC_ALL="C"))
    assert (done.returncode, json.loads(done.stdout)["status"]) == (3, 418), done.stderr


def test_a_credential_that_is_withheld_from_an_echo_says_so(policy: Path) -> None:
    _, answer, _ = explain(policy, "--request", "TRACE https://api.test/")
    (key,) = [trace for trace in answer["rules"] if trace["rule"] == "key"]
    assert (key["matched"], key["acted"], key["why"]) == (True, False, "credential withheld: method echoes headers")


def test_a_policy_with_a_mistake_explains_nothing(policy: Path) -> None:
    (policy / "policy.yaml").write_text(POLICY.replace("statusCode: 410", "statusCode: 110"))
    code, answer, said = explain(policy, "--request", "GET https://api.test/")
    assert (code, answer) == (1, {})
    assert "[InvalidStatus]" in said
