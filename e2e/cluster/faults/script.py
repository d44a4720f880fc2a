"""The rules in force, and which of them acts now: counted, and where chance is left, drawn from the test's own seed.

In comes what is asked, out goes an action. It may be changed from another thread while requests run.
"""

from collections.abc import Iterable
from random import Random

from e2e.cluster.faults.asked import Asked
from e2e.cluster.faults.rules import ON_LINES, Action, Forward, Rule


class Armed:
    """A rule in force: `hits` is how often it acted, `seen` how often it matched."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen = 0
        self.hits = 0

    def fires(self, random: Random) -> bool:
        rule = self.rule
        self.seen += 1
        if self.seen <= rule.skip or (rule.times and self.hits >= rule.times):
            return False
        if rule.chance < 1 and random.random() >= rule.chance:
            return False
        self.hits += 1
        return True


class Script:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._armed: tuple[Armed, ...] = ()

    def add(self, rule: Rule) -> Armed:
        """Rules that were there before go first."""
        armed = Armed(rule)
        self._armed = (*self._armed, armed)
        return armed

    def remove(self, armed: Armed) -> None:
        self._armed = tuple(each for each in self._armed if each is not armed)

    def clear(self) -> None:
        self._armed = ()

    def on_request(self, asked: Asked) -> Action:
        return self._first(each for each in self._armed if not isinstance(each.rule.action, ON_LINES) and each.rule.matches(asked))

    def on_line(self, asked: Asked) -> Action:
        return self._first(each for each in self._armed if isinstance(each.rule.action, ON_LINES) and each.rule.matches(asked))

    def _first(self, found: Iterable[Armed]) -> Action:
        return next((each.rule.action for each in found if each.fires(self._random)), Forward())
