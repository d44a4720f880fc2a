"""What the process knows, where streams come to ask: the snapshot in force, who issues credentials, who is told.

The snapshot is exchanged whole between two requests; a request that began with one ends with it.
"""

import logging
from collections.abc import Callable, Sequence

from extproc.admission import Admission
from extproc.events import Answer, Headers, Refuse
from extproc.identity import Peer
from extproc.issuing import Issued, Issuer
from extproc.lookups import LOOKUPS
from extproc.metrics import ExtprocMetrics
from extproc.snapshot import Snapshot
from extproc.stream import Machine, Resolved
from kube.failures import where
from policy.program import Rule

Tell = Callable[[Resolved], None]
"""Never blocks."""
TurnedAway = Callable[[Headers, Refuse], None]
"""Hears of requests that were refused before anybody knew whose they are. Never blocks."""

log = logging.getLogger(__name__)


class FrontDesk:
    """`told` are those who want to know what became of each request; `clock` is monotonic and in seconds."""

    def __init__(
        self,
        *,
        admission: Admission,
        issuer: Issuer,
        metrics: ExtprocMetrics,
        clock: Callable[[], float],
        told: Sequence[Tell] = (),
        turned_away: TurnedAway = lambda _, __: None,
    ) -> None:
        self._admission = admission
        self._issuer = issuer
        self._metrics = metrics
        self.clock = clock
        self._told = tuple(told)
        self._turned_away = turned_away
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        return self._snapshot

    def swap(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        made = self.clock()
        self._metrics.swapped(len(snapshot.sources.program.profiles), lambda: self.clock() - made)

    def not_ready(self) -> str | None:
        return "nothing was read yet to decide by" if self._snapshot is None else None

    def admit(self, headers: Headers, peer: Peer) -> Machine | Answer:
        admitted = self._admission.admit(headers, peer, self._snapshot)
        if isinstance(admitted, Refuse):
            self._metrics.turned_away(admitted.reason)
            self._turned_away(headers, admitted)
        return admitted

    async def issue(self, machine: Machine, rules: Sequence[Rule]) -> Issued:
        noted = LOOKUPS.set(machine.looked_up)
        try:
            return await self._issuer.issue(machine, rules)
        finally:
            LOOKUPS.reset(noted)

    def opened(self) -> None:
        self._metrics.stream(+1)

    def closed(self, *, failed: bool) -> None:
        self._metrics.stream(-1)
        if failed:
            self._metrics.stream_error()

    def answered(self, machine: Machine, began: float) -> None:
        machine.began, machine.took = began, self.clock() - began
        self._metrics.decided(machine.took)

    def resolved(self, outcome: Resolved) -> None:
        self._metrics.resolved(outcome)
        for tell in self._told:
            try:
                tell(outcome)
            except Exception as error:  # noqa: BLE001 - what became of a request is decided, whoever fails to hear of it
                log.error("an outcome could not be told: %s", where(error))  # noqa: TRY400 - its words may hold what the request held
