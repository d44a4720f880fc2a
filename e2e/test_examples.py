"""Every example does what its expect.yaml says, in three readings that must agree.

`groyne explain` judges each request by the evaluator and the plan; a real Envoy under `groyne run` lets a server on loopback
receive it or not; and `groyne check` reports the problems and notes that the example shows, and no others.
"""

import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.support import cli
from e2e.support.expect import Case, Example, read
from e2e.support.pki import Authority
from e2e.support.upstream import Upstream, serve

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/expect.yaml"))
DRIVER = Path(__file__).parent / "support" / "driver.py"


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.name)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    """A copy, since an example may make files first."""
    copy = tmp_path / request.param.name
    shutil.copytree(request.param, copy)
    found = read(copy)
    if found.prepare:
        subprocess.run(found.prepare, cwd=copy, check=True)
    return found


def test_there_are_enough_examples() -> None:
    """Each shows one feature, has a README of some ten lines, and is found by this test."""
    assert len(EXAMPLES) >= 8
    for directory in (ROOT / "examples").iterdir():
        if directory.is_dir():
            assert (directory / "README.md").exists(), directory.name
            assert directory in EXAMPLES or directory.name in {"quickstart", "provider"}, directory.name


def test_check_reports_the_problems_that_it_shows(example: Example) -> None:
    done = cli.groyne("check", example.policy, "--output", "json", env=cli.environment(**example.environment))
    reasons = {problem["reason"] for problem in problems(done.out)}
    assert reasons == {*example.problems, *example.notes}, str(done)
    assert done.code == (1 if example.problems else 0), str(done)


def test_explain_says_so(example: Example) -> None:
    lines = "\n".join(json.dumps(case.request(443 if case.scheme == "https" else 80)) for case in example.cases)
    (example.directory / "requests.jsonl").write_text(lines + "\n")
    arguments = ("explain", example.policy, *example.options, "--output", "json", "--requests", example.directory / "requests.jsonl")
    done = cli.groyne(*arguments, env=cli.environment(**example.environment))
    answers = cli.json_lines(done.out)
    assert len(answers) == len(example.cases), str(done)
    for case, answer in zip(example.cases, answers, strict=True):
        agrees(case, answer)


def agrees(case: Case, answer: dict) -> None:
    expected = case.expected
    assert answer["verdict"] == expected.verdict, (case.name, answer)
    if expected.verdict == "blocked":
        assert answer["status"] == expected.status, (case.name, answer)
        assert expected.body in (answer["body"] or ""), (case.name, answer)
    if expected.intercepted is not None:
        assert answer["intercepted"] is expected.intercepted, (case.name, answer)


def test_envoy_does_so(example: Example, world: Authority) -> None:
    with ExitStack() as stack:
        secure = stack.enter_context(serve(certificates=world, hosts=example.hosts))
        plain = stack.enter_context(serve())
        results = sent(example, world, secure, plain)
        for case, result in zip(example.cases, results, strict=True):
            met(case, result, secure if case.scheme == "https" else plain)
        arrived = [result for result in results if "x-received" in result["headers"]]
        assert len(arrived) == len(secure.received) + len(plain.received)


def sent(example: Example, world: Authority, secure: Upstream, plain: Upstream) -> list[dict]:
    requests = [case.request((secure if case.scheme == "https" else plain).port) for case in example.cases]
    (example.directory / "requests.json").write_text(json.dumps(requests))
    done = cli.run(
        example.policy,
        [sys.executable, DRIVER, example.directory / "requests.json"],
        resolve=[*secure.resolve(*named(example)), *plain.resolve(*named(example))],
        upstream_ca=world.bundle,
        options=example.options,
        env=cli.environment(**example.environment),
    )
    results = cli.json_lines(done.out)
    assert done.code == 0, str(done)
    assert len(results) == len(example.cases), str(done)
    return results


def named(example: Example) -> list[str]:
    """Addresses are reached, if at all, without a name."""
    return [host for host in example.hosts if not host.replace(".", "").isdigit()]


def met(case: Case, result: dict, upstream: Upstream) -> None:
    expected, number = case.expected, result["headers"].get("x-received")
    assert result["status"] == expected.status, (case.name, result)
    assert expected.body in result["body"], (case.name, result)
    assert (number is None) == (expected.verdict == "blocked"), (case.name, result)
    if expected.certificate:
        assert result["issuer"] == expected.certificate, (case.name, result)
    elif expected.intercepted is not None and result["issuer"]:
        assert (result["issuer"] != "Test World CA") is expected.intercepted, (case.name, result)
    if number is not None:
        received = upstream.received[int(number)]
        assert received.method == case.method
        for name, value in expected.upstream.items():
            assert received.header(name) == value, (case.name, name, received)


def problems(out: str) -> list[dict]:
    document = json.loads(out)
    return document["problems"] if isinstance(document, dict) else document
