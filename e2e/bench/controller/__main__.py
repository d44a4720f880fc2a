"""python -m e2e.bench.controller [--quick | --full] [--output json]: exit code 1 where a target is missed, 2 where nothing could be measured."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from e2e.bench.controller.cases import FULL, NORMAL, QUICK, Case
from e2e.bench.controller.report import Report, as_json, show
from e2e.bench.controller.stages import Progress, measure
from e2e.cluster import Missing


def main() -> int:
    arguments = parsed()
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            report = run(chosen(arguments), progress=status.update)
    except Missing as lack:
        console.print(str(lack), style="red", highlight=False)
        return 2
    if arguments.output == "json":
        print(as_json(report))
    else:
        show(report, Console(width=None if sys.stdout.isatty() else 150))
    return 1 if report.missed else 0


def run(cases: Sequence[Case], *, progress: Progress) -> Report:
    with tempfile.TemporaryDirectory(prefix="groyne-bench-") as directory:
        return Report(cases=[measure(case, Path(directory), progress) for case in cases])


def chosen(arguments: argparse.Namespace) -> Sequence[Case]:
    cases = QUICK if arguments.quick else FULL if arguments.full else NORMAL
    found = [case for case in cases if not arguments.case or case.name in arguments.case]
    count = arguments.count
    return [replace(case, count=count, edits=min(case.edits, count)) for case in found] if count else found


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.controller", description="How fast the controller is.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a tenth of everything, with limits that only a gross loss misses: for CI")
    size.add_argument("--full", action="store_true", help="ten thousand templates too: for the night")
    parser.add_argument("--case", action="append", choices=[case.name for case in FULL], help="only this one; can be given again")
    parser.add_argument("--count", type=int, help="so many templates instead, with the same limits: for looking into something")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
