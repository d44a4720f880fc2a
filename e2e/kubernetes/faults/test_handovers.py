"""Five real hand-overs between two processes with a short Lease: no write of one while or after the other writes, seen in the audit log.

Each process has a token of its own, by which the API server's audit log tells them apart, and a fault proxy of its own. All the while
somebody undoes what the leader wrote, so that it writes as fast as it may. On a machine that has too much to do a Lease may change hands
without a fault: that is no failure, a write too late is.
"""

import base64
import json
import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from e2e.cluster.audit import Call
from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import FaultProxy, Hang, Rule, fault_proxy
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE
from e2e.kubernetes.faults.operator import Operator
from e2e.kubernetes.faults.place import Place
from e2e.kubernetes.slowness import allowed
from e2e.support.waiting import until
from unit_tests.controller.raw_objects import template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

log = logging.getLogger(__name__)

LEASE = ("--lease-duration", "6", "--lease-renew-deadline", "4", "--lease-retry", "0.4", "--call-deadline", "1")
NEXT_LEADS = 10.0
"""A Lease's duration, the time to notice, and a candidate's look at it."""
TEMPLATES = 6


class Candidate:
    def __init__(self, cluster: ControlPlane, faults: FaultProxy, logs: Path, name: str) -> None:
        kubeconfig = faults.kubeconfig(cluster.kubeconfig_for(ACCOUNT, NAMESPACE))
        self.faults, self.credential = faults, credential_of(kubeconfig)
        self.operator = Operator(cluster, kubeconfig, logs, name, *LEASE)
        self.operator.start()

    @property
    def leads(self) -> bool:
        return self.operator.alive and "leading" in self.operator.replica.said()


def credential_of(kubeconfig: Path) -> str:
    """As the audit log spells it."""
    token = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    payload = token.split(".")[1]
    return f"JTI={json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))['jti']}"


@contextmanager
def undone(place: Place) -> Iterator[None]:
    """What the leader makes is taken away, again and again."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            for number in range(TEMPLATES):
                try:
                    place.delete("policy", f"t{number}-network-policy")
                except httpx.HTTPError:
                    continue

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def killed(leader: Candidate) -> None:
    leader.operator.kill()


def stopped(leader: Candidate) -> None:
    """Longer than the Lease holds; then it goes on as if nothing had been."""
    process = leader.operator.replica.process
    process.send_signal(signal.SIGSTOP)
    threading.Timer(8.5, process.send_signal, (signal.SIGCONT,)).start()


def cut_off(leader: Candidate) -> None:
    leader.faults.refuse()


def unheard(leader: Candidate) -> None:
    """It writes as before; only its renewals get no answer."""
    leader.faults.add(Rule(resource="leases", action=Hang()))


def released(leader: Candidate) -> None:
    leader.operator.replica.process.send_signal(signal.SIGTERM)


TROUBLES = (killed, stopped, cut_off, unheard, released)


def test_no_two_leaders_writes_overlap_over_five_hand_overs(ground: ControlPlane, place: Place, tmp_path: Path):
    place.apply(*(template(f"t{number}") for number in range(TEMPLATES)))
    gaps = {}
    with fault_proxy(ground) as one, fault_proxy(ground) as other, undone(place):
        leader = Candidate(ground, one, tmp_path, "one")
        until(lambda: leader.leads, "the first leads")
        second = Candidate(ground, other, tmp_path, "other")
        try:
            for trouble in TROUBLES:
                gaps[trouble.__name__] = handed_over(ground, leader, second, trouble)
                leader.faults.clear()
                until(lambda left=leader: not left.operator.alive, "who lost the Lease ends")
                leader.operator.start()
                leader, second = second, leader
        finally:
            for each in (second, leader):  # else it would be a sixth
                each.operator.close()
    log.info("hand-overs in seconds: %s", {name: round(gap, 1) for name, gap in gaps.items()})
    found = [call for call in ground.audit() if call.resource == "networkpolicies" and call.verb == "create" and call.credential]
    assert {call.credential for call in found} == {leader.credential, second.credential}
    assert overlaps(found) == []
    assert turns(found) <= leader.operator.starts + second.operator.starts, "who has lost the Lease writes no more in that life"
    assert max(gaps.values()) <= allowed(NEXT_LEADS), gaps
    assert gaps["released"] <= allowed(3), gaps


def handed_over(ground: ControlPlane, leader: Candidate, second: Candidate, trouble) -> float:
    """Seconds until the second leads, and has written."""
    until(lambda: wrote(ground, leader) > 0, "the leader writes")
    began = time.monotonic()
    trouble(leader)
    until(lambda: second.leads, f"the second leads: {second.operator.said()[-2000:]}", patience=40)
    gap = time.monotonic() - began
    before = wrote(ground, second)
    until(lambda: wrote(ground, second) > before, "the second writes")
    return gap


def wrote(ground: ControlPlane, candidate: Candidate) -> int:
    return sum(call.verb == "create" and call.credential == candidate.credential for call in ground.audit())


def overlaps(calls: list[Call]) -> list[tuple[Call, Call]]:
    """Pairs of writes by two processes of which one had not ended when the other began."""
    found: list[tuple[Call, Call]] = []
    ordered = sorted(calls, key=lambda call: call.began)
    for number, call in enumerate(ordered):
        found += [(before, call) for before in ordered[:number] if before.credential != call.credential and before.ended > call.began]
    return found


def turns(calls: list[Call]) -> int:
    """How often the writer changed, and one: a write of the one before after the next one's first is two more."""
    writers = [call.credential for call in sorted(calls, key=lambda call: call.began)]
    return 1 + sum(one != other for one, other in pairwise(writers))
