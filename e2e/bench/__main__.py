"""python -m e2e.bench [--quick] [--output json]: exit code 1 where a target is missed, 2 where nothing could be measured."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from e2e.bench.costs import costs
from e2e.bench.load import LoadError
from e2e.bench.policies import scenarios
from e2e.bench.rates import Progress, endure, measure
from e2e.bench.report import Report, as_json, show


def main() -> int:
    arguments = parsed()
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            if arguments.endure:
                print(f"{endured(arguments.endure, status.update)} requests, each decided by ext-proc, and none failed")
                return 0
            report = run(quick=arguments.quick, rounds=arguments.rounds, seconds=arguments.seconds, progress=status.update)
    except LoadError as error:
        console.print(str(error), style="red", highlight=False)
        return 2
    if arguments.output == "json":
        print(as_json(report))
    else:
        show(report, Console(width=None if sys.stdout.isatty() else 150))
    return 1 if report.missed else 0


def run(*, quick: bool, rounds: int, seconds: int, progress: Progress) -> Report:
    """Quick: what has targets, in short rounds, and a tenth of the profiles."""
    chosen = [scenario for scenario in scenarios() if not (quick and scenario.tls)]
    with tempfile.TemporaryDirectory(prefix="groyne-bench-") as directory:
        rates = asyncio.run(
            measure(Path(directory), chosen, rounds=3 if quick else rounds, seconds=1 if quick else seconds, progress=progress)
        )
    progress("compiling and reading")
    return Report(rates=rates, costs=costs(100 if quick else 1000, 10))


def endured(requests: int, progress: Progress) -> int:
    scenario = next(each for each in scenarios() if each.transport)
    with tempfile.TemporaryDirectory(prefix="groyne-bench-") as directory:
        return asyncio.run(endure(Path(directory), scenario, requests, progress))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench", description="What a policy costs.")
    parser.add_argument("--quick", action="store_true", help="a minute less, and less sure: for CI")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each policy in each round")
    parser.add_argument("--endure", type=int, metavar="REQUESTS", help="only these, through ext-proc: fails where one of them does")
    parser.add_argument("--output", choices=("table", "json"), default="table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
