"""What the last reconcile of each template came to: the profiles' statuses are made from it, and it tells whether anything changed.

It is memory and nothing more. After a restart it is empty, and each template's first reconcile, which reads what is there, fills it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crds.problem import Problem
from kube.objects import Key
from policy.program import ProfileRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One template's state.

    `selected` are the profiles that hold for it, each with the generation that is in force. `written`: all of its objects say so.
    `unresolved` are references without a value, by profile; `failures` is why something could not be written. `inputs`,
    `version` and `ca_version` (the Secrets' resourceVersions) and `renew_at` tell when there is nothing to do; `unseen`: the watch
    has not come to it yet; `put_off`: there was something to do that it was too soon for, and all else is as it was before.
    """

    selected: Mapping[ProfileRef, int | None] = field(default_factory=dict)
    written: bool = False
    unresolved: Mapping[ProfileRef, tuple[Problem, ...]] = field(default_factory=dict)
    failures: tuple[Problem, ...] = ()
    inputs: tuple[Any, ...] | None = None
    version: str = ""
    ca_version: str = ""
    revision: str = ""
    renew_at: datetime | None = None
    unseen: bool = False
    put_off: bool = False

    def same_for_profiles(self, other: "Outcome") -> bool:
        mine = self.selected, self.written, self.unresolved, self.failures
        return mine == (other.selected, other.written, other.unresolved, other.failures)


NOTHING = Outcome()


@dataclass(slots=True)
class Ledger:
    _outcomes: dict[Key, Outcome] = field(default_factory=dict)

    def get(self, key: Key) -> Outcome | None:
        return self._outcomes.get(key)

    def put(self, key: Key, outcome: Outcome) -> frozenset[ProfileRef]:
        """The profiles of which there is something new to say."""
        before = self._outcomes.get(key, NOTHING)
        first = key not in self._outcomes
        self._outcomes[key] = outcome
        if outcome.same_for_profiles(before) and not first:
            return frozenset()
        return frozenset((*before.selected, *outcome.selected))

    def all_written(self, keys: Iterable[Key]) -> bool:
        """A template of which nothing is known is not written, and one that was put off is no more."""
        outcomes = [self._outcomes.get(key, NOTHING) for key in keys]
        return all(outcome.written and not outcome.put_off for outcome in outcomes)

    def put_off(self) -> list[Key]:
        return [key for key, outcome in self._outcomes.items() if outcome.put_off]

    def remove(self, key: Key) -> frozenset[ProfileRef]:
        return frozenset(self._outcomes.pop(key, NOTHING).selected)
