"""A process's table of settings in its page of docs: written from the model, and the same or a test fails.

In: the page, the process's model. No part of any process; `python -m controller.reference` and `python -m extproc.reference` use it.
"""

from pathlib import Path

from daemon.settings import Model
from daemon.settings_words import table

DOCS = Path(__file__).resolve().parent.parent / "docs"
END = "<!-- to here -->"


def page_of(process: str) -> Path:
    """By its package's name."""
    names = {"extproc": "ext-proc"}
    return DOCS / f"{names.get(process, process)}.md"


def with_table(page: str, process: str, model: type[Model]) -> str:
    """The text between the two marks is the table."""
    begin = f"<!-- python -m {process}.reference writes this -->\n"
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"the page has no place for the table of {process}")
    return f"{before}{begin}\n{table(model)}\n{END}{after}"


def write(process: str, model: type[Model]) -> str:
    page = page_of(process)
    page.write_text(with_table(page.read_text(encoding="utf-8"), process, model), encoding="utf-8")
    return f"wrote {page}\n"
