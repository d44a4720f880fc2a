"""A schedule that fails → one with fewer steps that fails still. Each try is a play, so tries are counted."""

from collections.abc import Callable
from dataclasses import replace

from e2e.kubernetes.chaos.schedule import Schedule, Step

TRIES = 40


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool], tries: int = TRIES) -> Schedule:
    """Halves first, then smaller parts, then single steps."""
    left = tries
    for part in ("steps", "begin"):
        size = max(1, len(getattr(schedule, part)) // 2)
        while size and left > 0:
            smaller, spent = without_some(schedule, part, size, fails, left)
            left -= spent
            size = size // 2 if smaller == schedule else min(size, len(getattr(smaller, part)))
            schedule = smaller
    return schedule


def without_some(schedule: Schedule, part: str, size: int, fails: Callable[[Schedule], bool], tries: int) -> tuple[Schedule, int]:
    spent, start = 0, 0
    while start < len(getattr(schedule, part)) and spent < tries:
        steps: tuple[Step, ...] = getattr(schedule, part)
        candidate = replace(schedule, **{part: steps[:start] + steps[start + size :]})
        spent += 1
        if fails(candidate):
            schedule = candidate
        else:
            start += size
    return schedule, spent
