"""`python -m e2e.clients.table ROWS PAGE`: puts the rows of a test run into the page, between its two markers."""

import sys
from pathlib import Path

from e2e.clients.rows import Row, read

BEGIN, END = "<!-- clients: begin, written by `make clients` -->", "<!-- clients: end -->"


def main(rows_file: str, page_file: str) -> None:
    page = Path(page_file)
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(read(Path(rows_file)))}\n{END}{after}", encoding="utf-8")


def table(rows: list[Row]) -> str:
    lines = ["| client | version tried | finds proxy and certificates by | shown |", "|---|---|---|---|"]
    lines += [f"| {row.client} | {row.version} | {row.finds} | {row.shown} |" for row in sorted(rows, key=lambda row: row.client.lower())]
    return "\n".join(lines)


if __name__ == "__main__":
    main(*sys.argv[1:])
