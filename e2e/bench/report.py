"""Figures → a table for a person, or JSON; each target stands beside what was seen."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from e2e.bench.costs import Cost
from e2e.bench.rates import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    rates: Sequence[Rate]
    costs: Sequence[Cost]

    @property
    def missed(self) -> list[str]:
        rates = [f"{rate.scenario.title}: {', '.join(rate.missed)}" for rate in self.rates if rate.missed]
        return rates + [cost.title for cost in self.costs if cost.missed]


def machine() -> dict[str, Any]:
    load = round(os.getloadavg()[0], 1)
    return {"cores": os.cpu_count(), "load": load, "system": platform.platform(terse=True), "python": platform.python_version()}


def as_json(report: Report) -> str:
    rates = [
        {"scenario": rate.scenario.name, "target": rate.scenario.target, "against": rate.scenario.against, **figures(rate)}
        for rate in report.rates
    ]
    return json.dumps({"machine": machine(), "rates": rates, "costs": [asdict(cost) for cost in report.costs], "missed": report.missed})


def figures(rate: Rate) -> dict[str, Any]:
    return {name: value for name, value in asdict(rate).items() if name != "scenario"}


def show(report: Report, console: Console) -> None:
    console.print(rates_table(report.rates))
    console.print(costs_table(report.costs))
    console.print(" · ".join(f"{name} {value}" for name, value in machine().items()), highlight=False)
    for title in report.missed:
        console.print(f"missed: {title}", style="bold red", highlight=False)


def rates_table(rates: Sequence[Rate]) -> Table:
    table = Table(title="one Envoy worker, 16 kept-alive connections; ratios to no policy in the same round, medians of all rounds")
    for name in ("policy", "requests/s", "ratio", "target", "p50 ms", "times", "p99 ms", "CPU µs", "CPU ratio", "start ms", "idle MB"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for rate in rates:
        own = rate.scenario.name == rate.scenario.against or rate.scenario.name.startswith("none")
        table.add_row(
            rate.scenario.title, f"{rate.per_second:.0f}", "" if own else f"{rate.ratio:.2f}", target(rate.scenario.target, "≥", ".2f"),
            f"{rate.p50_ms:.2f}", "" if own else f"{rate.p50_ratio:.1f}{target(rate.scenario.p50, ' ≤', '.1f')}", f"{rate.p99_ms:.1f}", f"{rate.cpu_us:.0f}", "" if own else f"{rate.cpu_ratio:.2f}",
            f"{rate.started_ms:.0f}", f"{rate.resident_mb:.0f}", style="red" if rate.missed else None,
        )  # fmt: skip
    return table


def costs_table(costs: Sequence[Cost]) -> Table:
    table = Table(title="compiling and reading, each in a fresh process")
    for name in ("what", "seconds", "limit", "MB", "limit"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for cost in costs:
        limits = target(cost.limit_seconds, "≤", ".0f"), target(cost.limit_megabytes, "≤", ".0f")
        style = "red" if cost.missed else None
        table.add_row(cost.title, f"{cost.seconds:.2f}", limits[0], f"{cost.megabytes:.0f}", limits[1], style=style)
    return table


def target(value: float | None, sign: str, form: str) -> str:
    return "" if value is None else f"{sign} {value:{form}}"
