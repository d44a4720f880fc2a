"""Manifests in the forms that the owners of the kinds publish are read unchanged."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from unit_tests.crds.build import accepted

FOLDER = Path(__file__).parent / "published"


def documents(stem: str = "*") -> list[Any]:
    reader = YAML(typ="safe", pure=True)
    return [
        pytest.param(raw, id=f"{path.stem}/{raw['metadata']['name']}")
        for path in sorted(FOLDER.glob(f"{stem}.yaml"))
        for raw in reader.load_all(path.read_text(encoding="utf-8"))
    ]


def without_nulls(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: without_nulls(value) for key, value in node.items() if value is not None}
    return [without_nulls(value) for value in node] if isinstance(node, list) else node


@pytest.mark.parametrize("raw", documents())
def test_a_published_form_is_read(raw: dict[str, Any]) -> None:
    accepted(raw)


@pytest.mark.parametrize("raw", documents("sandbox-templates"))
def test_a_template_is_written_back_as_it_was(raw: dict[str, Any]) -> None:
    assert without_nulls(accepted(raw).to_dict()) == without_nulls(raw)
