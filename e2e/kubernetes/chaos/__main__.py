"""`python -m e2e.kubernetes.chaos`: plays seeds, shows how far it is, and of each that fails prints it as small as it gets.

Exit code 1 where one failed. `--seed N` plays that one alone and prints its controller's log.
"""

import argparse
import sys
import time

from e2e.kubernetes.chaos.arena import Arena, arena
from e2e.kubernetes.chaos.play import Told
from e2e.kubernetes.chaos.schedule import drawn
from e2e.kubernetes.chaos.shrink import shrunk

BATCH = 50
WIDTH = 40
SHOWN = 3000


def main() -> int:
    arguments = parsed()
    with arena() as found:
        if arguments.seed is not None:
            return alone(found, arguments.seed, arguments.times)
        return many(found, range(arguments.first, arguments.first + arguments.seeds), arguments.at_once)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m e2e.kubernetes.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--at-once", type=int, default=6, help="plays side by side")
    parser.add_argument("--seed", type=int, help="this one alone, and its log")
    parser.add_argument("--times", type=int, default=1, help="with --seed: until it fails, so many times at most")
    return parser.parse_args()


class Bar:
    def __init__(self, total: int) -> None:
        self.total, self.done, self.failed, self.began = total, 0, 0, time.monotonic()
        self.longest = 0.0

    def seen(self, told: Told) -> None:
        self.done += 1
        self.failed += bool(told.problem)
        self.longest = max(self.longest, told.settled)
        if told.problem:
            sys.stderr.write(f"\nseed {told.schedule.seed}: {told.problem}\n{told.log[-SHOWN:]}\n")
        filled = WIDTH * self.done // self.total
        bar = "#" * filled + "." * (WIDTH - filled)
        seconds = time.monotonic() - self.began
        sys.stderr.write(f"\r[{bar}] {self.done}/{self.total}, {self.failed} failed, {seconds:.0f} s ")
        sys.stderr.flush()


def many(found: Arena, seeds: range, at_once: int) -> int:
    bar, failed = Bar(len(seeds)), list[Told]()
    for start in range(0, len(seeds), BATCH):
        played = found.play_all(map(drawn, seeds[start : start + BATCH]), at_once, bar.seen)
        failed += [told for told in played if told.problem]
    sys.stderr.write("\n")
    for told in failed:
        report(found, told)
    print(f"{len(seeds)} seeds in {time.monotonic() - bar.began:.0f} s, {len(failed)} failed; as it should be within {bar.longest:.1f} s")
    return 1 if failed else 0


def report(found: Arena, told: Told) -> None:
    print(f"FAILED seed {told.schedule.seed}: {told.problem}", flush=True)
    small = shrunk(told.schedule, lambda schedule: bool(found.play(schedule).problem))
    print(f"{small}\nagain: python -m e2e.kubernetes.chaos --seed {told.schedule.seed}\n", flush=True)


def alone(found: Arena, seed: int, times: int) -> int:
    schedule = drawn(seed)
    print(schedule, flush=True)
    for _ in range(times):
        told = found.play(schedule)
        if told.problem:
            break
    print(told.log)
    print(f"FAILED: {told.problem}" if told.problem else f"all laws held; as it should be after {told.settled:.1f} s, {told.calls} calls")
    return 1 if told.problem else 0


if __name__ == "__main__":
    raise SystemExit(main())
