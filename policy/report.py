"""Where compilers put the problems that they find, so that one pass over an object finds them all.

A Report knows the place in the object that is being read; `at` goes one step further in and shares the list. Nothing
here raises, and nothing is said twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from crds.paths import shorten
from crds.problem import Problem
from policy.reasons import Reason


@dataclass(frozen=True, slots=True)
class Report:
    place: str = ""
    problems: list[Problem] = field(default_factory=list)

    def at(self, step: str | int) -> "Report":
        if isinstance(step, int):
            return Report(f"{self.place}[{step}]", self.problems)
        return Report(f"{self.place}.{step}" if self.place else step, self.problems)

    def fatal(self, reason: Reason, message: str) -> None:
        self.problems.append(Problem(reason=reason.value, message=message, field=self.place))

    def warn(self, reason: Reason, message: str) -> None:
        self.problems.append(Problem(reason=reason.value, message=message, field=self.place, fatal=False))

    def add(self, problem: Problem) -> None:
        """A problem that was found without knowing the place."""
        self.problems.append(problem.below(self.place))

    @property
    def fatals(self) -> int:
        return sum(problem.fatal for problem in self.problems)


def quoted(text: str) -> str:
    """What a user wrote, fit for a message."""
    return f"`{shorten(text)}`"


def listed(texts: Iterable[str]) -> str:
    return ", ".join(quoted(text) for text in texts)
