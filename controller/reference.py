"""`python -m controller.reference` writes the table of settings into docs/controller.md; a test fails where the two differ.

The only module of the controller that writes to the project's own files, and no part of the process.
"""

import sys
from pathlib import Path

from controller.settings import Settings
from daemon.settings_words import table

PAGE = Path(__file__).resolve().parent.parent / "docs" / "controller.md"
BEGIN, END = "<!-- python -m controller.reference writes this -->\n", "<!-- to here -->"


def with_table(page: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(Settings)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
