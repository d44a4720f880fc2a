"""`python -m crds`: what is written is what the models say, and drift is noticed."""

from pathlib import Path

import pytest

from crds.__main__ import DEFAULT, main


def test_the_files_in_the_tree_are_those_of_the_models() -> None:
    assert main(["check", str(DEFAULT)]) == 0


def test_generate_then_check_agree(tmp_path: Path) -> None:
    assert main(["generate", str(tmp_path / "new")]) == 0
    assert main(["check", str(tmp_path / "new")]) == 0


def test_drift_fails_with_the_lines_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["generate", str(tmp_path)])
    path = tmp_path / "agents.kruise.io_securityprofiles.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("default: 1000", "default: 999"), encoding="utf-8")
    assert main(["check", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "default: 999" in said
    assert "python -m crds generate" in said
    assert "globalsecurityprofiles" not in said


def test_a_missing_file_is_drift(tmp_path: Path) -> None:
    assert main(["check", str(tmp_path)]) == 1


@pytest.mark.parametrize("arguments", [[], ["apply"], ["check", "a", "b"]])
def test_anything_else_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
