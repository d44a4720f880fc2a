"""What is generated for a family or for both, in pods of a dual stack, without IPv4, without IPv6, and on a kernel without IPv6.

What a pod and its listeners have works there, all else is closed, and an edit of the listeners is taken. On the old kernel only Envoy
lacks IPv6: the client has it, and so would get out by it if anything were open.
"""

from typing import Any, NamedTuple

import pytest

from dataplane.redirect import Families
from unit_tests.dataplane import pod, pod_servers
from unit_tests.dataplane.policies import block, plan, token
from unit_tests.dataplane.test_redirect_traffic import TOKEN, WHY_NOT, by_label, files_of, run

CASES = (
    (pod.DUAL, Families.DUAL),
    (pod.DUAL, Families.IPV4),
    (pod.IPV4, Families.DUAL),
    (pod.IPV6, Families.DUAL),
    (pod.IPV6, Families.IPV6),
    (pod.OLD_KERNEL, Families.DUAL),
    (pod.OLD_KERNEL, Families.IPV4),
)
pytestmark = [pytest.mark.envoy, pytest.mark.isolation, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]

BEFORE = plan(token("key", "bothapi.test"), block("bad", "bad.test"))
AFTER = plan(token("key", "bothapi.test", "bothlate.test"), block("bad", "bad.test"))
BY6: dict[str, Any] = {"address": pod.CHOSEN6}
HELLO: dict[str, Any] = {"do": "raw", "port": 25, "send": b"EHLO\r\n".hex(), "want": 15}
REJECTED = "(lds|cds|rds.*|network_filter.*|sds.*).update_rejected$"


def steps_of(kind: str, changed: dict[str, str]) -> dict[str, dict[str, Any]]:
    """`here` is an address that a client in this pod can dial."""
    here = {"address": pod.CHOSEN6 if kind == pod.IPV6 else pod.CHOSEN}
    return {
        "both": {"do": "https", "port": 443, "name": "both.test", **here},
        "intercepted": {"do": "https", "port": 443, "name": "bothapi.test", **here},
        "http": {"do": "http", "port": 80, "host": "both.test", **here},
        "blocked": {"do": "https", "port": 443, "name": "bad.test", **here},
        "name of IPv4": {"do": "https", "port": 443, "name": "good.test", **here},
        "name of IPv6": {"do": "https", "port": 443, "name": "six.test", **here},
        "http to a name of IPv6": {"do": "http", "port": 80, "host": "six.test", **here},
        "literal of IPv6": {"do": "http", "port": 80, "host": f"[{pod_servers.SERVER6}]", **here},
        "raw by IPv4": HELLO,
        "raw by IPv6": {**HELLO, **BY6},
        "TLS by IPv6": {"do": "https", "port": 443, "name": "both.test", **BY6},
        "http by IPv6": {"do": "http", "port": 80, "host": "both.test", **BY6},
        "not redirected": {**HELLO, "port": pod.PORT, "address": "127.0.0.1"},
        "not redirected, IPv6": {**HELLO, "port": pod.PORT, "address": "::1"},
        "edit": {"do": "write", "files": changed, "reload": "listener_manager.lds.update_(success|rejected)$"},
        "late": {"do": "https", "port": 443, "name": "bothlate.test", **here},
        "blocked yet": {"do": "https", "port": 443, "name": "bad.test", **here},
        "rejected": {"do": "counters", "filter": REJECTED},
    }


class Pod(NamedTuple):
    ipv4: bool
    ipv6: bool
    """Whether it has the family, and its listeners too."""
    outcomes: dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}, {case[1]}")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pod:
    kind, families = request.param
    directory = tmp_path_factory.mktemp("families")
    old, new = (files_of(policy, directory, kind, families=families) for policy in (BEFORE, AFTER))
    changed = {name: text for name, text in new.items() if old.get(name) != text}
    steps = steps_of(kind, changed)
    outcomes = by_label(run(directory, BEFORE, list(steps.values()), kind, families=families), steps)
    ipv6 = kind in (pod.DUAL, pod.IPV6) and families is not Families.IPV4
    return Pod(ipv4=kind != pod.IPV6, ipv6=ipv6, outcomes=outcomes)


def closed(outcome: dict[str, Any]) -> bool:
    silent = "error" in outcome or outcome.get("received") == ""
    return silent and not outcome["requests"] and not outcome["dialled"]


def test_a_name_of_both_families_is_reached(played):
    """By whichever family the pod has: end to end, intercepted, and in the clear."""
    outcomes = played.outcomes
    assert (outcomes["both"]["status"], outcomes["both"]["issuer"]) == (200, "World")
    assert (outcomes["intercepted"]["status"], outcomes["intercepted"]["issuer"]) == (200, "Interceptor")
    assert outcomes["intercepted"]["requests"][0]["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert outcomes["http"]["status"] == 200
    assert max(outcomes[label]["seconds"] for label in ("both", "intercepted", "http")) < 3


def test_a_name_of_one_family(played):
    """It is reached where there is that family; elsewhere the connection ends, or HTTP is answered, without a long wait."""
    for label, wanted in (("name of IPv4", played.ipv4), ("name of IPv6", played.ipv6)):
        outcome = played.outcomes[label]
        assert outcome["status"] == 200 if wanted else closed(outcome), outcome
        assert outcome["seconds"] < 8
    for label in ("http to a name of IPv6", "literal of IPv6"):
        outcome = played.outcomes[label]
        assert outcome["status"] in ((200,) if played.ipv6 else (403, 503)), outcome
        assert bool(outcome["requests"]) == played.ipv6


@pytest.mark.parametrize("label", ["raw by IPv6", "TLS by IPv6", "http by IPv6"])
def test_ipv6_is_redirected_or_closed(played, label):
    """Never past Envoy: where only the listener is missing, the address is there for the client, and hears nothing."""
    outcome = played.outcomes[label]
    if not played.ipv6:
        assert closed(outcome), outcome
        assert not outcome["names"]
    elif label.startswith("raw"):
        assert bytes.fromhex(outcome["received"]) == pod_servers.BANNER + b"EHLO\r\n"
    else:
        assert (outcome["status"], outcome["dialled"]) == (200, [])


def test_ipv4_is_redirected_or_closed(played):
    """Where the pod has it, raw bytes go where they were sent, as this policy has it."""
    outcome = played.outcomes["raw by IPv4"]
    if played.ipv4:
        assert bytes.fromhex(outcome["received"]) == pod_servers.BANNER + b"EHLO\r\n"
    else:
        assert closed(outcome)


@pytest.mark.parametrize("label", ["blocked", "blocked yet", "not redirected", "not redirected, IPv6"])
def test_what_is_refused_is_refused_in_every_pod(played, label):
    """Before and after the edit; and nobody is served at the listener's own address."""
    assert closed(played.outcomes[label]), played.outcomes[label]
    assert not played.outcomes[label]["names"]


def test_edited_listeners_are_taken(played):
    """One more intercepted name changes them; nothing was rejected since the start, and the name is intercepted."""
    outcomes = played.outcomes
    assert outcomes["edit"]["updated"]
    assert (outcomes["late"]["status"], outcomes["late"]["issuer"]) == (200, "Interceptor")
    rejected = outcomes["rejected"]["counters"]
    assert len(rejected) > 5
    assert not any(rejected.values()), rejected
