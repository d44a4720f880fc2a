"""What compiling and reading take, each measured in a process of its own: python -m e2e.bench.costs compile|read PROFILES RULES.

Out comes one JSON object a process, on standard output. Memory is the peak beyond what the input itself already holds.
"""

import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from dataplane.compile import Configuration, compile_envoy, make_plan
from e2e.bench.policies import Raw, many_profiles
from e2e.bench.world import models, options, tokens
from groyne import clock
from groyne.trust import Trust
from manifests.load import load
from policy.compile import compile_program
from policy.program import Identity, Selection

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """`limits` where there are any: seconds and MB."""

    title: str
    seconds: float
    megabytes: float
    limit_seconds: float | None = None
    limit_megabytes: float | None = None

    @property
    def missed(self) -> bool:
        slow = self.limit_seconds is not None and self.seconds > self.limit_seconds
        return slow or (self.limit_megabytes is not None and self.megabytes > self.limit_megabytes)


def costs(profiles: int, rules: int) -> list[Cost]:
    size = f"{profiles:,} profiles of {rules} rules".replace(",", "\N{NARROW NO-BREAK SPACE}")
    compiled, read = (in_process(what, profiles, rules) for what in ("compile", "read"))
    return [
        Cost(title=f"{size}: compile to the program", **compiled["program"], limit_seconds=2, limit_megabytes=300),
        Cost(title=f"{size}: certificates", **compiled["leafs"]),
        Cost(title=f"{size}: program to Envoy's files", **compiled["envoy"]),
        Cost(title=f"{size}: read from files", **read["read"], limit_seconds=20),
    ]


def in_process(what: str, profiles: int, rules: int) -> dict[str, Any]:
    arguments = (what, str(profiles), str(rules))
    done = subprocess.run([sys.executable, "-m", "e2e.bench.costs", *arguments], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measured(do: Callable[[], T]) -> tuple[T, dict[str, float]]:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, begun = memory("VmRSS"), time.perf_counter()
    result = do()
    seconds = time.perf_counter() - begun
    return result, {"seconds": seconds, "megabytes": memory("VmHWM") - before}


def memory(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def compiling(profiles: int, rules: int) -> dict[str, dict[str, float]]:
    # Kept: what is compiled must not find the room that they leave.
    raws = many_profiles(profiles, rules)
    parsed = models(raws)
    compiled, program = measured(lambda: compile_program(parsed))
    selection = compiled.program.select(Identity())
    leafs, certificates = measured(lambda: Trust.fresh(clock.now()).leafs(make_plan(selection).intercepted_names, clock.now()))
    _, envoy = measured(lambda: files(selection, leafs))
    return {"program": program, "leafs": certificates, "envoy": envoy}


def files(selection: Selection, leafs: tuple[Any, ...]) -> Configuration:
    chosen = options(Path("/nowhere"), 1, resolver=("127.0.0.1", 1), pinned=(80,))
    return compile_envoy(make_plan(selection), tokens(selection), leafs, chosen)


def reading(profiles: int, rules: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as directory:
        write(Path(directory), many_profiles(profiles, rules))
        manifests, cost = measured(lambda: load(Path(directory)))
    if len(manifests.profiles) != profiles or manifests.broken:
        raise ValueError(f"a benchmark's own files are refused: {manifests.problems[:1]}")
    return {"read": cost}


def write(directory: Path, raws: list[Raw]) -> None:
    yaml = YAML(typ="safe")
    for raw in raws:
        yaml.dump(raw, directory / f"{raw['metadata']['name']}.yaml")


if __name__ == "__main__":
    print(json.dumps({"compile": compiling, "read": reading}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))))
