"""One controller by way of a fault proxy, a place whose days are bad and another whose are not, and what must hold there in the end."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import Asked, FaultProxy
from e2e.kubernetes.faults import laws
from e2e.kubernetes.faults.operator import Operator, second_opinion
from e2e.kubernetes.faults.place import Place, Raw, secret
from e2e.kubernetes.slowness import allowed
from e2e.support.waiting import until
from unit_tests.controller.raw_objects import profile, rule, template

SOON = 30.0
"""Law 5: as it should be within so long after the last fault."""


CALM = 3.0
"""As soon as that where nothing is wrong, on a machine that has nothing else to do."""


PATIENT = ("--lease-duration", "60", "--lease-renew-deadline", "40")
"""It is to live through what happens; what ends a leader has tests of its own."""


LOG_SHOWN = 6000


log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Scene:
    """`bad` is where the fault strikes, `well` another namespace that must not notice."""

    ground: ControlPlane
    faults: FaultProxy
    operator: Operator
    bad: Place
    well: Place
    logs: Path
    edits: int = 0
    since: float = 0.0
    since_version: str = ""
    """From before anything was in the two places."""

    def settled(self, within: float = SOON) -> float:
        """Seconds until all is as it should be; by then nothing was written that is not ours, and `--once` has nothing to add."""
        began = time.monotonic()
        for place in (self.bad, self.well):
            until(lambda at=place: not wrong(at), lambda at=place: f"settled: {wrong(at)}", within - (time.monotonic() - began))
        took = time.monotonic() - began
        log.info("as it should be after %.1f s, with %.1f calls a second", took, len(self.faults.asked()) / (time.monotonic() - self.since))
        assert laws.outside(self.faults.asked()) == []
        before = self.versions()
        assert second_opinion(self.ground, self.logs / f"once-{self.edits}-{time.monotonic_ns()}.log") == 0
        assert self.versions() == before, "a fresh process found something to do"
        assert "Traceback" not in self.operator.said(), self.operator.said()
        return took

    def versions(self) -> list[dict[tuple[str, str], str]]:
        return [self.bad.versions(), self.well.versions()]

    def edit(self, place: Place) -> None:
        """All that people change: a rule, a credential, a template."""
        self.edits += 1
        place.apply(*people(self.edits))

    def others_go_on(self) -> float:
        """Seconds until an edit where nothing is wrong is everywhere that it should be."""
        self.edit(self.well)
        began = time.monotonic()
        until(lambda: not wrong(self.well), lambda: f"others go on: {wrong(self.well)}", allowed(CALM))
        return time.monotonic() - began

    def asked(self, since: float, **wanted: str) -> list[Asked]:
        return [each for each in self.faults.asked(**wanted) if each.began >= since]


def people(number: int) -> list[Raw]:
    token = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    rules = [rule("key", f"n{number}.example.com", tokenTransformation=token), rule("paths", f"p{number}.example.com")]
    ports = [{"ports": [{"port": 1000 + number, "protocol": "TCP"}]}]
    return [
        template("agent", networkPolicy={"egress": ports}),
        template("plain", labels={"app": "plain"}),
        profile("keys", rules=rules),
        secret("key", apiKey=f"value-{number}-end"),
    ]


def wrong(place: Place) -> list[str]:
    """As the laws have it; what cannot be asked is not as it should be."""
    try:
        return laws.wrong(place)
    except httpx.HTTPError as error:
        return [type(error).__name__]
