"""A seed → a schedule: steps of people and of bad days over some seconds. The same seed gives the same steps for ever.

What a step does is not known here, only which there are and what they are given. A fault that lasts has its end in the step itself, and
everything ends with the schedule.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

SECONDS = 4.0
TEMPLATES, PROFILES, APPS = ("t0", "t1", "t2"), ("p0", "p1"), ("a", "b")
RESOURCES = ("", "secrets", "networkpolicies", "securityprofiles", "sandboxtemplates")
WRITES = "create,patch,delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`given` are the deed's arguments."""

    at: float
    deed: str
    given: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.at:5.2f} s  {self.deed}({', '.join(map(repr, self.given))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`begin` is there before the controller is."""

    seed: int
    begin: tuple[Step, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [*(f"  before   {each.deed}{each.given}" for each in self.begin), *(f"  {each}" for each in self.steps)]
        return "\n".join([f"seed {self.seed}:", *lines])


def drawn(seed: int) -> Schedule:
    random = Random(seed)
    begin = [edit(random, 0.0) for _ in range(random.randint(1, 5))]
    edits = [edit(random, moment(random)) for _ in range(random.randint(3, 9))]
    faults = [fault(random, moment(random)) for _ in range(random.randint(2, 5))]
    return Schedule(seed=seed, begin=tuple(begin), steps=tuple(sorted([*edits, *faults], key=lambda step: step.at)))


def moment(random: Random) -> float:
    return round(random.uniform(0, SECONDS), 2)


def edit(random: Random, at: float) -> Step:
    name, template, number = random.choice(EDITS), random.choice(TEMPLATES), random.randint(1, 9)
    match name:
        case "template":
            return Step(at=at, deed=name, given=(template, random.choice(APPS), random.choice((0, number)), random.random() < 0.85))
        case "profile":
            return Step(at=at, deed=name, given=(random.choice(PROFILES), random.choice(APPS), number, random.random() < 0.6))
        case "credential":
            return Step(at=at, deed=name, given=(number,))
        case "no_profile":
            return Step(at=at, deed=name, given=(random.choice(PROFILES),))
        case "no_credential":
            return Step(at=at, deed=name)
    return Step(at=at, deed=name, given=(template,))


EDITS = (
    *("template",) * 5,
    *("profile",) * 5,
    *("credential",) * 3,
    "no_template",
    "no_profile",
    "no_credential",
    "policy_deleted",
    "policy_changed",
    "secret_deleted",
    "secret_touched",
    "label_removed",
)


def fault(random: Random, at: float) -> Step:
    resource, until, times = random.choice(RESOURCES), round(random.uniform(at, SECONDS), 2), random.randint(1, 3)
    name = random.choice(FAULTS)
    given: tuple[Any, ...] = (until,)
    match name:
        case "status":
            given = (resource, random.choice((500, 500, 503, 429, 403, 409, 404)), random.choice((0.3, 0.6, 1.0)), until)
        case "slow":
            given = (resource, random.choice((0.1, 0.5, 1.5)), until)
        case "lost":
            given = (random.choice(("cut", "hang")), resource, random.random() < 0.7, times)
        case "garbled":
            given = (random.choice(("garbage", "twice", "half a line", "error", "gone")), times)
        case "truncated":
            given = (resource, random.choice((0, 20, 500)), times)
        case "cut":
            given = (resource,)
        case "killed":
            given = ()
    return Step(at=at, deed=name, given=given)


FAULTS = (
    *("status",) * 4,
    *("lost",) * 4,
    *("killed",) * 3,
    "slow",
    "garbled",
    "garbled",
    "truncated",
    "cut",
    "cut",
    "away",
    "frozen",
    "unbound",
)
