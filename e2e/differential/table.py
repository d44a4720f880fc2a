"""What a run covered, as one table: action by kind of condition by transport, and what became of the requests."""

from collections.abc import Iterator

from e2e.differential.client import Transport
from e2e.differential.runner import Tally

ACTIONS = ("bypass", "block", "mcp", "headers", "token", "issued", "told")
"""A credential that is issued is one of `token`, and what is told of is something else besides: those two are only shown."""
COUNTED = ACTIONS[:5]
KINDS = ("host", "wildcard", "any host", "path exact", "path prefix", "path regex", "method", "port", "scheme",
         "header exact", "header prefix", "header regex", "query exact", "query prefix", "query regex")  # fmt: skip
GROUPS = {"domain": KINDS[:3], "path": KINDS[3:6], "method": ("method",), "port": ("port",), "scheme": ("scheme",),
          "header": KINDS[9:12], "query": KINDS[12:]}  # fmt: skip


def rendered(tally: Tally) -> str:
    return "\n".join([*cells(tally), "", *outcomes(tally)])


def cells(tally: Tally) -> Iterator[str]:
    """Each number: requests in which a rule with that action held by a condition of that kind; plain / h1 / h2."""
    yield f"{'':14}" + "".join(f"{action:>20}" for action in ACTIONS)
    for kind in KINDS:
        row = (" / ".join(str(tally.cells[action, kind, transport.value]) for transport in Transport) for action in ACTIONS)
        yield f"{kind:14}" + "".join(f"{cell:>20}" for cell in row)


def outcomes(tally: Tally) -> Iterator[str]:
    for outcome, count in tally.outcomes.most_common():
        yield f"{outcome:20}{count:7}{count / tally.requests:8.1%}"


def thin(tally: Tally, least: int) -> list[str]:
    """Cells of action, group of conditions and transport that were met less often than that."""
    counts = {
        (action, group, transport.value): sum(tally.cells[action, kind, transport.value] for kind in kinds)
        for action in COUNTED
        for group, kinds in GROUPS.items()
        for transport in Transport
    }
    return [f"{' with '.join(cell)}: {count}" for cell, count in counts.items() if count < least]
