"""docs/reliability.md names tests, and each of them is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "reliability.md").read_text()


def sources() -> str:
    return "\n".join(path.read_text() for folder in ("unit_tests", "e2e") for path in (ROOT / folder).rglob("test_*.py"))


def test_every_test_that_the_table_names_is_there():
    named, found = set(re.findall(r"`(test_\w+)`", TEXT)), sources()
    assert len(named) > 20
    assert [name for name in sorted(named) if f"def {name}(" not in found] == []


def test_every_file_that_it_names_is_there():
    named = set(re.findall(r"`((?:unit_tests|e2e)/[\w/.]+)`", TEXT))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_figure_was_put_in():
    assert "@" not in TEXT
