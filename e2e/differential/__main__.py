"""`python -m e2e.differential`: explores, prints what was covered, and on a difference a reproducer. Exit code 1 on differences."""

import argparse
import time

from e2e.differential import network


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=300)
    parser.add_argument("--requests", type=int, default=18, help="for each program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--stop-after", type=int, default=5, help="differences")
    arguments = parser.parse_args()
    if not network.inside():
        network.reexecute("e2e.differential")
    from e2e.differential.minimise import minimised, reproducer  # noqa: PLC0415
    from e2e.differential.runner import Tally, explore, world  # noqa: PLC0415 - only needed inside
    from e2e.differential.table import rendered, thin  # noqa: PLC0415

    tally, found, begun = Tally(), 0, time.monotonic()
    with world() as here:
        for difference in explore(here, arguments.seed, range(arguments.first, arguments.first + arguments.programs), arguments.requests, tally):
            found += 1
            print("\nDIFFERENCE", reproducer(minimised(here, difference)), sep="\n", flush=True)
            if found >= arguments.stop_after:
                break
    print(f"seed {arguments.seed}: {tally.programs} programs, {tally.requests} requests in {time.monotonic() - begun:.0f} s")
    print(rendered(tally))
    print("met less than 30 times:", *(thin(tally, 30) or ["none"]), sep="\n  ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
