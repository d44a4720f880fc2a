"""What objects imply, as pairs of files: NAME.in.yaml holds templates, profiles and settings, NAME.out.yaml objects and problems.

A change of behaviour shows as a difference of YAML. `GROYNE_REWRITE_GOLDENS=1 pytest …` writes the second half anew.
"""

import io
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from controller.compile.groyne_policy import Endpoint
from controller.compile.template import Cluster
from controller.ext_proc import ExtProcPlace
from controller.settings import Settings as ControllerSettings
from crds.kinds import parse
from crds.sandbox_template import SandboxTemplate
from crds.security_profile import GlobalSecurityProfile, SecurityProfile
from dataplane.redirect import Families
from dataplane.sidecar import SidecarOptions
from groyne.rendering import implied_objects
from policy.compile import compile_program
from policy.program import Engine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in FOLDER.glob("*.in.yaml"))
REWRITE = os.environ.get("GROYNE_REWRITE_GOLDENS") == "1"


def yaml() -> YAML:
    writer = YAML(typ="rt")
    writer.width = 140
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.representer.ignore_aliases = lambda _: True
    return writer


def outcome(documents: list[dict[str, Any]]) -> str:
    """The second half of a pair, as text."""
    settings = next((document for document in documents if document.get("kind") == "Settings"), {})
    objects = [parsed(document) for document in documents if document.get("kind") != "Settings"]
    engines = frozenset(map(Engine, settings.get("engines", ["native"])))
    program = compile_program(
        [found for found in objects if isinstance(found, SecurityProfile | GlobalSecurityProfile)], engines=engines
    ).program
    cluster = Cluster(extra_excluded=settings.get("extraExcluded", ()), **told(settings.get("extProc", {})))
    templates = [found for found in objects if isinstance(found, SandboxTemplate)]
    rendered = implied_objects(templates, program, {}, reveal=False, now=NOW, cluster=cluster)
    problems = [
        {"template": f"{namespace}/{name}", **asdict(problem)}
        for (namespace, name), found in rendered.problems.items()
        for problem in found
    ]
    text = io.StringIO()
    yaml().dump_all([*rendered.objects, {"kind": "Problems", "problems": problems}], text)
    return text.getvalue()


def told(given: dict[str, Any]) -> dict[str, Any]:
    """What a controller knows that was told where ext-proc is."""
    if not given:
        return {}
    found = ControllerSettings(ext_proc_certificates="files", **{f"ext_proc_{name}": value for name, value in given.items()})
    place = ExtProcPlace(settings=found, changed=lambda: None)
    return {"sidecar": SidecarOptions(external=place.external(Families.DUAL)), "ext_proc": Endpoint(port=place.port)}


def parsed(document: dict[str, Any]) -> object:
    found = parse(document)
    assert found.object is not None, found.problems
    return found.object


@pytest.mark.parametrize("name", NAMES)
def test_pair(name: str):
    """What is computed is what the file says."""
    with (FOLDER / f"{name}.in.yaml").open(encoding="utf-8") as file:
        text = outcome([document for document in YAML(typ="safe").load_all(file) if document])
    expected = FOLDER / f"{name}.out.yaml"
    if REWRITE:
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


def test_every_second_half_has_a_first():
    """No pair is left over from a file that was renamed."""
    assert sorted(path.name.removesuffix(".out.yaml") for path in FOLDER.glob("*.out.yaml")) == NAMES
    assert len(NAMES) > 10
