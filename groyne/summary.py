"""The table at the end of a run: hosts, verdicts, rules and credentials by name."""

import json

from groyne import output
from groyne.audit import Summary
from groyne.output import Output

COLUMNS = ("host", "verdict", "requests", "rules", "credentials", "reason")


def print_summary(summary: Summary, kind: Output, *, stream_is_ours: bool) -> None:
    """On standard error, because standard output is the command's; JSON goes to standard output only where no command wrote there."""
    if kind is Output.JSON and stream_is_ours:
        output.print_json({"summary": summary.as_json()})
        return
    console = output.errors()
    if kind is Output.JSON:
        console.print(json.dumps({"summary": summary.as_json()}), markup=False)
        return
    rows = [
        (
            row["host"],
            row["verdict"],
            str(row["requests"]),
            ", ".join(row["rules"]),
            ", ".join(row["credentials"]),
            ", ".join(row["reasons"]),
        )
        for row in summary.as_json()
    ]
    hosts = len({host for host, _ in summary.rows})
    if rows:
        output.print_table(
            COLUMNS, rows, console=console, title=f"groyne: {hosts} {'host' if hosts == 1 else 'hosts'}, {summary.refused} refused"
        )
    else:
        console.print("groyne: no request was made", markup=False)
