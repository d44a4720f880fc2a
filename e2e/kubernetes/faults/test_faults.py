"""Named faults, each with what must hold while it lasts, how soon after its end all is as it should be, and how much was asked meanwhile.

One controller with all rights of its kustomization and a Lease, by way of the fault proxy, for a place whose days are bad and another
whose are not. After each fault a fresh `--once` agrees: it writes nothing.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster.control_plane import ControlPlane
from e2e.cluster.faults import Asked, Cut, CutLine, Delay, Hang, Insert, Rule, Stale, Status, Truncate, Twice
from e2e.kubernetes.faults.place import Place, Raw, values
from e2e.kubernetes.faults.scene import SOON, Scene, log, wrong
from e2e.kubernetes.slowness import allowed
from e2e.support.waiting import until
from unit_tests.controller.raw_objects import profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


PER_SECOND = 10
"""Calls while all that is tried fails: at first each object's retries come soon, and then ever more seldom."""


FEW = 15
"""Calls over some seconds in which nothing can be done."""


def ca(place: Place) -> str:
    found = place.get("secret", "agent-egress")
    return values(found)["ca.crt"] if found else ""


def test_the_api_server_is_killed_and_comes_back(scene: Scene):
    """F1. One list of each kind at most, and no write that an edit does not explain."""
    first, began = ca(scene.bad), time.monotonic()
    scene.ground.stop("apiserver", grace=0)
    time.sleep(2)
    scene.ground.start("apiserver")
    scene.edit(scene.bad)
    took = scene.settled()
    lists = listed(scene, began)
    assert len(lists) == len(set(lists)), lists
    calls = [each for each in scene.asked(began) if each.writes and each.forwarded and each.resource not in ("leases", "events")]
    said = [f"{each.began - began:.2f} {each.verb} {each.resource} {each.name} {each.code}" for each in calls]
    written = [each for each, call in zip(said, calls, strict=True) if call.code < 300]
    assert len(written) <= 8, written
    assert len(said) <= FEW + len(written), said  # what the watches have not told yet is refused as outdated
    assert ca(scene.bad) == first
    assert took < SOON


def test_etcd_forgets_its_history_while_nobody_is_there(scene: Scene):
    """F2. A watch from a version that is no longer known is a new list, and what was deleted meanwhile is noticed."""
    began = time.monotonic()
    scene.faults.refuse()
    scene.bad.delete("policy", "agent-network-policy")
    scene.edit(scene.bad)
    scene.ground.compact()
    scene.ground.restart("apiserver", grace=0)
    scene.faults.clear()
    scene.settled()
    lists = listed(scene, began)
    assert ("networkpolicies", "") in lists
    assert len(lists) == len(set(lists)), lists


def listed(scene: Scene, since: float) -> list[tuple[str, str]]:
    """What was listed as a whole: not by the look, one item wide, that tells a server that is older than it was."""
    lists = [each for each in scene.asked(since, verb="list") if each.code == 200]
    looks = [(each.resource, each.namespace) for each in lists if "limit=1&" in f"{each.target}&"]
    assert len(looks) == len(set(looks)), looks
    return [(each.resource, each.namespace) for each in lists if "limit=1&" not in f"{each.target}&"]


def test_etcd_is_restored_to_what_it_was(scene: Scene, tmp_path: Path):
    """F14. What the controller has seen lies in the server's future, whose watches would never say a word."""
    kept, data = tmp_path / "kept", scene.ground.directory / "etcd"
    scene.faults.add(Rule(verb=WRITES, resource="secrets,networkpolicies", action=Status(500, "InternalError")))
    scene.edit(scene.bad)
    scene.bad.delete("policy", "plain-network-policy")
    with asleep(scene.ground):
        shutil.copytree(data, kept)
    scene.faults.clear()
    scene.settled()
    for _ in range(5):
        scene.edit(scene.bad)
    scene.settled()
    later, began = scene.bad.versions(), time.monotonic()
    with asleep(scene.ground):
        shutil.rmtree(data)
        shutil.copytree(kept, data)
    scene.settled()
    assert scene.bad.versions() != later
    assert listed(scene, began), "it was noticed by the process that was there before"
    assert scene.operator.starts == 1


WRITES = "create,update,patch,delete"


def test_etcd_has_no_room(scene: Scene):
    """F22. Nobody can write, not for the Lease either. It is tried again ever more seldom, and done when there is room."""
    scene.faults.add(Rule(verb=WRITES, resource="secrets,networkpolicies", action=Status(500, "InternalError")))
    scene.edit(scene.bad)
    scene.bad.delete("policy", "agent-network-policy")
    with scene.ground.full():
        scene.faults.clear()
        began = time.monotonic()
        time.sleep(10)
        asked = [each for each in scene.asked(began) if each.resource != "leases"]
        told = {each.code for each in asked if each.verb in {"create", "patch"} and each.ended}
        assert {500} <= told <= {404, 500}, told  # 404: the policy that was deleted, before its watch has told
        assert len(asked) <= 10 * PER_SECOND, [str(each) for each in asked]
        log.info("%d calls in ten seconds", len(asked))
    scene.settled()
    assert scene.operator.starts == 1


@contextmanager
def asleep(ground: ControlPlane) -> Iterator[None]:
    """Everything that remembers, but the controller."""
    for name in ("controller-manager", "apiserver", "etcd"):
        ground.stop(name)
    yield
    for name in ("etcd", "apiserver", "controller-manager"):
        ground.start(name)


def test_a_list_from_a_server_that_lags_behind_is_not_believed(scene: Scene):
    """F14. What it does not know yet is not taken for deleted."""
    before = scene.bad.get("policy", "agent-network-policy")
    version = scene.since_version
    stale = scene.faults.add(Rule(verb="list", resource="securityprofiles,networkpolicies", action=Stale(version), times=2))
    scene.faults.say(GONE, resource="securityprofiles")
    scene.faults.say(GONE, resource="networkpolicies")
    until(lambda: stale.hits == 2, "both are listed")
    scene.settled()
    assert [each for each in scene.faults.asked(namespace=scene.bad.namespace) if each.verb in ("delete", "create")] == []
    assert scene.bad.get("policy", "agent-network-policy") == before


GONE = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode()


def test_watches_that_are_cut_go_on_where_they_were(scene: Scene):
    """F4. Without a list."""
    for _ in range(3):
        scene.faults.cut_watches()
        scene.edit(scene.bad)
        time.sleep(1)
    scene.settled()
    assert listed(scene, scene.since) == []


@pytest.mark.parametrize(
    "action", [Insert(b"{garbage"), Insert(b'{"type": "SING", "object": {}}'), Insert(b'"' + b"x" * (3 << 20) + b'"'), Twice(), CutLine()]
)
def test_lines_of_watches_that_make_no_sense(scene: Scene, action):
    """F4."""
    scene.faults.add(Rule(verb="watch", action=action, times=6))
    scene.edit(scene.bad)
    scene.settled()
    assert len(scene.faults.asked(verb="list,watch")) <= 40


BUSY = Status(429, "TooManyRequests", retry_after=2)


def test_a_write_that_is_put_off_is_not_tried_before(scene: Scene):
    """F5. No attempt before Retry-After has passed, whatever is edited meanwhile; others' objects are not held up."""
    scene.faults.add(Rule(resource="secrets", verb="patch", namespace=scene.bad.namespace, action=BUSY, times=2))
    scene.edit(scene.bad)
    scene.others_go_on()
    scene.edit(scene.bad)
    scene.settled()
    assert apart(scene.faults.asked(resource="secrets", verb="patch", namespace=scene.bad.namespace)[:3], 2)


def test_a_watch_that_is_put_off_is_not_tried_before_and_nothing_is_listed(scene: Scene):
    """F5."""
    watching = scene.faults.add(Rule(resource="networkpolicies", verb="watch", action=BUSY, times=2))
    scene.faults.cut_watches(resource="networkpolicies")
    scene.edit(scene.bad)
    scene.settled()
    assert watching.hits == 2
    assert apart(scene.faults.asked(resource="networkpolicies", verb="watch")[:3], 2)
    assert listed(scene, scene.since) == []


def apart(asked: list[Asked], seconds: float) -> bool:
    moments = [each.began for each in asked]
    return len(moments) == 3 and all(later - earlier >= seconds for earlier, later in pairwise(moments))


def lasting(scene: Scene, seconds: float) -> float:
    """So long an edit each second; how many calls a second there were of the controller, those for its Lease left out."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        scene.edit(scene.bad)
        time.sleep(1)
    asked = [each for each in scene.asked(began) if each.resource != "leases"]
    rate = len(asked) / seconds
    log.info("%.1f calls a second while it lasted", rate)
    return rate


def test_half_of_all_calls_fail(scene: Scene):
    """F6. A place with an edit a second: some calls for each, and some more for those that failed."""
    scene.faults.add(Rule(action=Status(500, "InternalError"), chance=0.5))
    rate = lasting(scene, 12)
    scene.faults.clear()
    scene.settled()
    assert rate <= 25


def test_every_call_is_slow(scene: Scene):
    """F7."""
    scene.faults.add(Rule(action=Delay(1.5)))
    lasting(scene, 8)
    scene.faults.clear()
    scene.settled()


def test_calls_that_are_never_answered_are_given_up_and_hold_up_nobody_else(scene: Scene):
    """F7."""
    hung = scene.faults.add(Rule(verb="create,patch,get", namespace=scene.bad.namespace, action=Hang()))
    scene.edit(scene.bad)
    end = time.monotonic() + 12
    while time.monotonic() < end:
        scene.others_go_on()
    ended = [each for each in scene.faults.asked(namespace=scene.bad.namespace) if each.fault == "Hang" and each.ended]
    assert hung.hits >= 2
    assert max(each.ended - each.began for each in ended) <= 6
    scene.faults.clear()
    scene.settled()


LOST = [
    ("create", "networkpolicies", ""),
    ("create", "secrets", ""),
    ("patch", "sandboxtemplates", ""),
    ("patch", "networkpolicies", ""),
    ("patch", "secrets", ""),
    ("patch", "securityprofiles", "status"),
    ("delete", "networkpolicies", ""),
    ("delete", "secrets", ""),
]


@pytest.mark.parametrize("action", [Cut(committed=True), Cut(), Truncate(20)], ids=["after it was done", "before", "in its answer"])
def test_the_answer_to_each_kind_of_write_is_lost(scene: Scene, action):
    """F13. Nothing is made twice, the CA is made once, and nothing is left behind."""
    armed = [scene.faults.add(Rule(verb=verb, resource=what, subresource=sub, action=action, times=1)) for verb, what, sub in LOST]
    place = scene.bad
    token = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "{{ .Token }}"}}
    place.apply(template("new", labels={"app": "new"}), profile("new", labels={"app": "new"}, rules=[rule("r", tokenTransformation=token)]))
    made = until(lambda: place.get("secret", "new-egress"), "the Secret")
    scene.edit(place)
    scene.settled()
    assert values(place.get("secret", "new-egress") or {})["ca.crt"] == values(made)["ca.crt"]
    place.apply(template("new", labels={"app": "new"}, networkPolicyManagement="Unmanaged"))
    place.delete("profile", "new")
    scene.settled()
    assert [each.hits for each in armed] == [1] * len(armed)


def test_rights_to_a_namespaces_secrets_are_withdrawn_and_given_back(scene: Scene):
    """F9. Its NetworkPolicies and all others go on; what is said of its profiles names the lack."""
    scene.bad.delete("binding", "groyne")
    scene.faults.cut_watches(resource="secrets")
    scene.edit(scene.bad)
    scene.others_go_on()
    until(lambda: "NamespaceNotOptedIn" in reasons(scene.bad), lambda: f"it is said: {reasons(scene.bad)}")
    assert not [text for text in wrong(scene.bad) if "policy" in text]
    assert few(lambda: asked_while_quiet(scene)), scene.faults.asked()
    scene.bad.bind()
    scene.settled()


def asked_while_quiet(scene: Scene) -> list[Asked]:
    began = time.monotonic()
    time.sleep(5)
    return [each for each in scene.asked(began) if each.resource != "leases"]


def few(look: Callable[[], list[Asked]]) -> bool:
    """A second look is allowed: what was late falls into the first, what is asked in haste into both."""
    return any(len(look()) <= FEW for _ in range(2))


def reasons(place: Place) -> set[str]:
    return {each["reason"] for raw in place.list("profile") for each in raw.get("status", {}).get("conditions", [])}


def test_the_right_to_one_kind_is_withdrawn(scene: Scene):
    """F9. NetworkPolicies are refused in every way; Secrets and statuses go on."""
    scene.faults.add(Rule(resource="networkpolicies", action=Status(403, "Forbidden")))
    scene.faults.cut_watches(resource="networkpolicies")
    scene.edit(scene.bad)
    until(lambda: not [text for text in wrong(scene.bad) if "secret" in text], "Secrets go on")
    scene.faults.clear()
    scene.settled()


def test_what_somebody_deletes_by_hand_is_made_again(scene: Scene):
    place = scene.bad
    for _ in range(3):
        for kind, name in (("policy", "agent-network-policy"), ("policy", "plain-network-policy"), ("secret", "agent-egress")):
            place.delete(kind, name)
    scene.settled()


def test_a_namespace_that_takes_long_to_end(scene: Scene):
    """What cannot be made there is not tried in haste, and others go on."""
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held"}}
    scene.bad.ask("POST", scene.bad.path("configmap"), {**held, "metadata": {"name": "held", "finalizers": ["example.com/held"]}})
    finalised = {"metadata": {"finalizers": ["example.com/held"]}}
    scene.bad.patch("template", "agent", finalised)
    scene.bad.patch("profile", "keys", finalised)
    scene.bad.end()
    time.sleep(2)
    quiet = few(lambda: asked_while_others_go_on(scene))
    asked = scene.faults.asked(namespace=scene.bad.namespace)
    for kind, name in (("configmap", "held"), ("template", "agent"), ("profile", "keys")):
        scene.bad.patch(kind, name, {"metadata": {"finalizers": None}})
    assert quiet, asked
    assert "Traceback" not in scene.operator.said()


def asked_while_others_go_on(scene: Scene) -> list[Asked]:
    began = time.monotonic()
    for _ in range(3):
        scene.others_go_on()
        time.sleep(2)
    return scene.asked(began, namespace=scene.bad.namespace)


@contextmanager
def another_writer(place: Place, write: Callable[[int], Any], rate: float = 50) -> Iterator[None]:
    """Who writes so many times a second."""
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.wait(1 / rate):
            number += 1
            write(number)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_another_writer_is_always_quicker(scene: Scene):
    """F8. Two writes of an object a second at most."""
    place = scene.bad

    def bump(number: int) -> None:
        note = {"metadata": {"annotations": {"theirs": str(number)}}}
        kind, name = (("secret", "agent-egress"), ("policy", "agent-network-policy"), ("profile", "keys"))[number % 3]
        place.patch(kind, name, note)

    with another_writer(place, bump, rate=150):
        lasting(scene, 8)
    took = scene.settled()
    assert took <= allowed(5)
    assert per_second(scene, place) <= 2.5


def test_another_controller_undoes_what_ours_writes(scene: Scene):
    """F8. Two writes of an object a second at most, an Event that names the object, and nobody claims that it holds."""
    place = scene.bad

    def undo(_: int) -> None:
        place.patch("policy", "agent-network-policy", {"spec": {"egress": [{}]}}, fieldManager="other")

    with another_writer(place, undo, rate=20):
        time.sleep(12)
        until(lambda: "Contested" in {each["reason"] for each in place.list("event")}, "it is said", 10)
        until(lambda: "Contested" in {each["reason"] for each in conditions(place, "keys")}, "the profile says so", 10)
    took = scene.settled()
    assert took <= allowed(5)
    assert per_second(scene, place) <= 2.5


def conditions(place: Place, name: str) -> list[Raw]:
    found = place.get("profile", name) or {}
    return found.get("status", {}).get("conditions", [])


def per_second(scene: Scene, place: Place) -> float:
    """Writes of the object that was written most often."""
    calls = [each for each in scene.faults.asked(namespace=place.namespace) if each.writes and each.resource != "events"]
    spans: dict[tuple[str, str, str], list[float]] = {}
    for each in calls:
        spans.setdefault((each.resource, each.subresource, each.name), []).append(each.began)
    return max(len(found) / max(found[-1] - found[0], 2) for found in spans.values())
