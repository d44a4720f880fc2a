"""The table of policies that mean nothing: `check` reports exactly what each file says of itself, at that line, with a remedy.

A file of `broken/` marks its mistakes where they stand: `#! Reason: words of the message`. The manifests that cannot even be read
have a table of their own (unit_tests/manifests/broken); here they go through the command line too.
"""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from groyne.__main__ import app
from groyne.check import UNRESOLVED

BROKEN = Path(__file__).parent / "broken"
UNREADABLE = BROKEN.parents[1] / "manifests" / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
INDEX = YAML(typ="safe").load(UNREADABLE / "index.yaml")
MARK = re.compile(r"#! (?P<reason>\w+): (?P<words>.*)")
SECRET = "hunter2"


def marked(path):
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return [(number, found["reason"], found["words"]) for number, line in lines if (found := MARK.search(line))]


def checked(path):
    """Exit code and problems; an exception other than the exit would show here."""
    done = CliRunner().invoke(app, ["check", str(path), "--output", "json"], env={"GROYNE_NOT_SET": None})
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert SECRET not in done.output
    return done.exit_code, json.loads(done.stdout)


def test_the_table_is_long():
    """Together with the manifests that cannot be read it has more than a hundred and fifty rows, and no row says nothing."""
    assert len(FILES) + len(INDEX) >= 150
    assert all(marked(path) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_policy_that_means_nothing_is_located_and_explained(path):
    code, problems = checked(path)
    expected = marked(path)
    assert [(each["line"], each["reason"]) for each in problems] == [(line, reason) for line, reason, _ in expected]
    for problem, (_, _, words) in zip(problems, expected, strict=True):
        assert words in problem["message"]
        assert problem["file"] == str(path)
        assert problem["kind"] in {"SecurityProfile", "GlobalSecurityProfile", "Secret"}
        assert problem["name"]
        assert problem["field"]
    assert code == any(each["fatal"] or each["reason"] in UNRESOLVED for each in problems)
    text = CliRunner().invoke(app, ["check", str(path)], env={"GROYNE_NOT_SET": None}).stderr.splitlines()
    for line, each in zip(text, problems, strict=False):
        assert re.fullmatch(rf"{re.escape(str(path))}:{each['line']}: {each['severity']}: .* \[{each['reason']}\]", line)
    assert len(text) == len(problems) + 1


@pytest.mark.parametrize("entry", INDEX, ids=[entry["file"] for entry in INDEX])
def test_a_manifest_that_cannot_be_read_is_reported_by_the_command_too(entry):
    code, problems = checked(UNREADABLE / entry["file"])
    reported = {(each["line"], each["reason"]) for each in problems}
    assert {(each["line"], each["reason"]) for each in entry["expect"]} <= reported
    assert code == any(each["fatal"] or each["reason"] in UNRESOLVED for each in problems)
