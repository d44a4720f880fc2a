"""`python -m e2e.differential`: explores, prints what was covered, and on a difference a reproducer. Exit code 1 on differences.

With `--mutants` it breaks the compiler in every way of `mutants.py` instead, and fails where that makes no difference.
"""

import argparse
import time

from dataplane import names
from e2e.differential import network


def main() -> int:
    arguments = parsed()
    if not network.inside():
        network.reexecute("e2e.differential")
    if arguments.slots:
        names.SLOTS = arguments.slots
    return kill_mutants(arguments) if arguments.mutants is not None else explored(arguments)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--requests", type=int, default=18, help="for each program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--stop-after", type=int, default=5, help="differences")
    parser.add_argument("--least", type=int, default=0, help="fail where a cell of the table was met less often")
    parser.add_argument("--slots", type=int, help="as if Envoy had no more filters for header changes, so that groups must share them")
    parser.add_argument("--transport", default="h2corn", help="who speaks HTTP/2 for ext-proc: h2corn or grpcio")
    parser.add_argument("--mutants", nargs="*", metavar="NAME", help="break the compiler on purpose: all ways, or these")
    return parser.parse_args()


def explored(arguments: argparse.Namespace) -> int:
    from e2e.differential.minimise import minimised, reproducer  # noqa: PLC0415 - only inside the namespace
    from e2e.differential.runner import Tally, explore, world  # noqa: PLC0415
    from e2e.differential.table import rendered, thin  # noqa: PLC0415

    tally, found, begun = Tally(), 0, time.monotonic()
    numbers = range(arguments.first, arguments.first + arguments.programs)
    with world(arguments.transport) as here:
        for difference in explore(here, arguments.seed, numbers, arguments.requests, tally):
            found += 1
            print("\nDIFFERENCE", reproducer(minimised(here, difference)), sep="\n", flush=True)
            if found >= arguments.stop_after:
                break
    print(f"seed {arguments.seed}: {tally.programs} programs, {tally.requests} requests in {time.monotonic() - begun:.0f} s")
    print(rendered(tally))
    rare = thin(tally, arguments.least)
    print(*(f"met less than {arguments.least} times: {cell}" for cell in rare), sep="\n")
    return 1 if found or rare else 0


def kill_mutants(arguments: argparse.Namespace) -> int:
    from e2e.differential.mutants import MUTANTS  # noqa: PLC0415
    from e2e.differential.runner import first_difference, world  # noqa: PLC0415

    alive = []
    with world() as here:
        for name in arguments.mutants or MUTANTS:
            with MUTANTS[name]():
                needed = first_difference(here, arguments.seed, arguments.programs, arguments.requests)
            print(f"{name:20} {f'caught within {needed} programs' if needed else 'NOT CAUGHT'}", flush=True)
            alive += [] if needed else [name]
    return 1 if alive else 0


if __name__ == "__main__":
    raise SystemExit(main())
