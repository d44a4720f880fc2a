"""Where compilers put the problems that they find, so that one pass over an object finds them all.

A Report knows the place in the object that is being read; `at` goes one step further in and shares the list. Nothing
here raises, and nothing is said twice.
"""

from collections.abc import Iterable

from crds.paths import shorten
from crds.problem import Problem
from policy.reasons import Reason


class Report:
    """Places are put together only when a problem needs one: most never do."""

    __slots__ = ("_parent", "_step", "problems")

    def __init__(self, step: str | int, parent: "Report | None" = None) -> None:
        self._step = step
        self._parent = parent
        self.problems: list[Problem] = [] if parent is None else parent.problems

    def at(self, step: str | int) -> "Report":
        return Report(step, self)

    def elsewhere(self, place: str) -> "Report":
        """Another place of the same object."""
        report = Report(place)
        report.problems = self.problems
        return report

    @property
    def place(self) -> str:
        if self._parent is None:
            return str(self._step)
        joint = f"[{self._step}]" if isinstance(self._step, int) else f".{self._step}"
        return self._parent.place + joint

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
