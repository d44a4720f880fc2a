"""Whoever runs these tests may have a cluster of their own: it is not theirs to see."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_other_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
