"""Figures → a table for a person, or JSON; each target stands beside what was seen."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from e2e.bench.controller.cases import MOST_OF_LIKE
from e2e.bench.controller.stages import Measured
from e2e.bench.report import machine, target


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`seen` must not be more than `most`."""

    title: str
    seen: float
    most: float
    unit: str = ""
    form: str = ".2f"

    @property
    def missed(self) -> bool:
        return self.seen > self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    cases: Sequence[Measured]

    @property
    def targets(self) -> list[Target]:
        return [found for case in self.cases for found in targets(case, {other.case.name: other for other in self.cases})]

    @property
    def missed(self) -> list[str]:
        return [found.title for found in self.targets if found.missed]


def targets(found: Measured, others: dict[str, Measured]) -> list[Target]:
    case = found.case
    made = [Target(title=f"{case.title}: writes after a start with nothing changed", seen=len(found.writes_again), most=0, form=".0f")]
    if case.limit is not None:
        made.append(Target(title=f"{case.title}: from cold", seen=found.seconds, most=case.limit, unit="s"))
    if case.cpu is not None:
        cpu = 1000 * found.cpu / case.count
        made.append(Target(title=f"{case.title}: processor time for one", seen=cpu, most=case.cpu, unit="ms", form=".1f"))
    if case.megabytes is not None:
        made.append(Target(title=f"{case.title}: peak memory", seen=found.megabytes, most=case.megabytes, unit="MB", form=".0f"))
    if case.lag is not None:
        made.append(Target(title=f"{case.title}: longest lag of the event loop", seen=found.lag, most=case.lag, unit="s", form=".3f"))
    if found.edits:
        made.append(Target(title=f"{case.title}: edit to Secret, p99", seen=percentile(found.edits, 99), most=case.edit_limit, unit="s"))
    if case.like in others:
        ratio = per_template(found) / per_template(others[case.like])
        made.append(Target(title=f"{case.title}: time for one, beside {others[case.like].case.title}", seen=ratio, most=MOST_OF_LIKE))
    return made


def per_template(found: Measured) -> float:
    """Milliseconds of work: the start of the process is not part of it."""
    return 1000 * (found.seconds - found.first) / found.case.count


def percentile(values: Sequence[float], percent: int) -> float:
    """The nearest rank: of a hundred values, p99 is the largest but one."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]


def beside_floor(found: Measured) -> float | None:
    """Seconds of work over the seconds of the bare writes."""
    return (found.seconds - found.first) / found.floor.seconds if found.floor else None


def as_json(report: Report) -> str:
    cases = [{**asdict(found), "seconds": found.seconds, "beside_floor": beside_floor(found)} for found in report.cases]
    seen = [{**asdict(each), "missed": each.missed} for each in report.targets]
    return json.dumps({"machine": machine(), "cases": cases, "targets": seen, "missed": report.missed})


def show(report: Report, console: Console) -> None:
    console.print(cases_table(report.cases))
    console.print(targets_table(report.targets))
    for found in report.cases:
        if found.floor:
            console.print(floor_text(found), highlight=False)
        for write in found.writes_again[:10]:
            console.print(f"written without need: {write}", style="red", highlight=False)
    console.print(" · ".join(f"{name} {value}" for name, value in machine().items()), highlight=False)


def cases_table(cases: Sequence[Measured]) -> Table:
    table = Table(title="from cold at default settings: seconds since the process's start, until the last one was written")
    columns = (
        "what",
        "first",
        "policies",
        "labels",
        "Secrets",
        "statuses",
        "ms each",
        "CPU ms each",
        "MB",
        "edit p50 ms",
        "p99 ms",
        "again s",
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "what" else "right")
    for found in cases:
        table.add_row(found.case.title, *figures(found))
    return table


def figures(found: Measured) -> list[str]:
    done = [f"{found.done[name]:.1f}" if name in found.done else "" for name in ("policies", "labels", "Secrets", "statuses")]
    edits = [f"{1000 * percentile(found.edits, percent):.0f}" if found.edits else "" for percent in (50, 99)]
    cpu, server = (1000 * seconds / found.case.count for seconds in (found.cpu, found.server_cpu))
    each = [f"{per_template(found):.1f}", f"{cpu:.1f}", f"{server:.1f}", f"{found.megabytes:.0f}"]
    return [f"{found.first:.1f}", *done, *each, *edits, f"{found.ready_again:.1f}"]


def targets_table(seen: Sequence[Target]) -> Table:
    table = Table(title="targets")
    for name in ("what", "seen", "at most"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for each in seen:
        text = f"{each.seen:{each.form}} {each.unit}".strip()
        table.add_row(each.title, text, target(each.most, "", each.form).strip(), style="red" if each.missed else None)
    return table


def floor_text(found: Measured) -> str:
    floor, ratio = found.floor, beside_floor(found)
    assert floor
    cpu = 1000 * floor.cpu / found.case.count
    return (
        f"the same {floor.writes} writes with nothing behind them: {floor.seconds:.2f} s, {cpu:.2f} ms of CPU for one template;"
        f" the controller takes {ratio:.2f} times as long, {1000 * found.cpu / found.case.count:.2f} ms of CPU, its start included"
    )
