"""Problems of a template as Events: each said when it appears and once an hour while it lasts, not at every reconcile."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from crds.problem import Problem
from kube import objects
from kube.objects import Raw

AGAIN_AFTER = 3600.0
MOST_KEPT = 10_000

Tell = Callable[[Raw, str, str, str], None]


class Announcer:
    """`tell` makes the Event: object, type, reason, note."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._said: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def __call__(self, about: Raw, problem: Problem) -> None:
        note = f"{problem.field}: {problem.message}" if problem.field else problem.message
        item = objects.uid_of(about), problem.reason, note
        now = asyncio.get_running_loop().time()
        last = self._said.get(item)
        if last is not None and now < last + AGAIN_AFTER:
            return
        self._said[item] = now
        self._said.move_to_end(item)
        while len(self._said) > MOST_KEPT:
            self._said.popitem(last=False)
        self._tell(about, "Warning", problem.reason, note)
