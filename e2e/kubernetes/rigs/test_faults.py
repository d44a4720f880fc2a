"""The fault proxy does what it is told, and nothing else: seen by a client that trusts nobody, and in the API server's own audit log."""

import base64
import json
import ssl
import time
from random import Random

import httpx
import pytest

from e2e.cluster.faults import Cut, CutLine, Delay, Forward, Hang, Insert, Reply, Rule, Silence, Stale, Status, Truncate, Twice, fault_proxy
from e2e.cluster.faults.asked import read
from e2e.cluster.faults.script import Script
from e2e.support.waiting import until

pytestmark = pytest.mark.cluster
PLACE = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def account(breakable):
    breakable.kubectl("create", "serviceaccount", "faulty")
    breakable.kubectl("create", "role", "faulty", "--verb=get,list,watch,create,delete", "--resource=configmaps")
    breakable.kubectl("create", "rolebinding", "faulty", "--role=faulty", "--serviceaccount=default:faulty")
    return breakable.kubeconfig_for("faulty")


@pytest.fixture
def faults(breakable):
    with fault_proxy(breakable, seed=7) as made:
        yield made


@pytest.fixture
def client(faults, account):
    """As the account, by way of the proxy."""
    config = json.loads(faults.kubeconfig(account).read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}", "User-Agent": "the-test"}
    with httpx.Client(base_url=cluster["server"], verify=trust, headers=headers, timeout=5, trust_env=False) as made:
        yield made


def create(client, name):
    return client.post(PLACE, json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})


def exists(breakable, name) -> bool:
    return "NotFound" not in breakable.kubectl("get", "configmap", name, check=False)


def watching(client, **parameters):
    return client.stream("GET", PLACE, params={"watch": "1", "timeoutSeconds": "20", **parameters}, timeout=1)


def names(lines):
    return [json.loads(line)["object"]["metadata"]["name"] for line in lines]


def test_without_rules_it_is_not_there(client, faults, breakable):
    """Same answers, same rights: RBAC judges the caller's own token."""
    assert create(client, "plain").status_code == 201
    assert client.get(f"{PLACE}/plain").json()["metadata"]["name"] == "plain"
    assert client.get("/api/v1/namespaces/default/secrets").status_code == 403
    assert client.get("/api/v1/namespaces/default/secrets", params={"watch": "1"}).json()["reason"] == "Forbidden"
    assert [(each.verb, each.resource, each.name, each.code) for each in faults.asked()] == [
        ("create", "configmaps", "", 201),
        ("get", "configmaps", "plain", 200),
        ("list", "secrets", "", 403),
        ("watch", "secrets", "", 403),
    ]
    until(lambda: all(each.user_agent == "the-test" and each.forwarded and each.ended > each.began for each in faults.asked()))


def test_what_has_no_token_is_refused_before_it_is_tried(faults, breakable):
    with pytest.raises(ValueError, match="has no token"):
        faults.kubeconfig(breakable.kubeconfig)


def test_a_status_is_answered_without_the_servers_knowing(client, faults, breakable):
    rule = faults.add(Rule(verb="create", resource="configmaps", action=Status(429, "TooManyRequests", retry_after=2), times=2))
    answers = [create(client, "throttled") for _ in range(3)]
    assert [each.status_code for each in answers] == [429, 429, 201]
    assert (answers[0].headers["Retry-After"], answers[0].json()["reason"]) == ("2", "TooManyRequests")
    assert rule.hits == 2
    assert [each.forwarded for each in faults.asked()] == [False, False, True]


def test_a_reply_may_be_anything(client, faults):
    faults.add(Rule(action=Reply(200, b"<html>captive portal</html>", (("Content-Type", "text/html"),))))
    assert client.get(PLACE).text == "<html>captive portal</html>"


def test_a_delay_is_waited_and_the_answer_comes(client, faults):
    faults.add(Rule(action=Delay(0.3)))
    began = time.monotonic()
    assert client.get(PLACE).status_code == 200
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(("action", "failure"), [(Hang, httpx.ReadTimeout), (Cut, httpx.TransportError)])
@pytest.mark.parametrize("committed", [False, True])
def test_no_answer_comes_and_the_server_has_done_it_or_not(client, faults, breakable, action, failure, committed):
    name = f"{action.__name__}-{committed}".lower()
    faults.add(Rule(verb="create", action=action(committed=committed), times=1))
    with pytest.raises(failure):
        client.post(PLACE, json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}, timeout=1)
    assert exists(breakable, name) == committed
    assert [(each.code, each.forwarded, each.fault) for each in faults.asked()] == [(0, committed, action.__name__)]
    assert client.get(PLACE).status_code == 200, "the next connection works"


def test_an_answer_ends_in_its_middle(client, faults):
    faults.add(Rule(verb="list", action=Truncate(20), times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(PLACE)


def test_a_list_is_as_old_as_it_is_told(client, faults):
    before = client.get(PLACE).json()["metadata"]["resourceVersion"]
    create(client, "newer")
    faults.add(Rule(verb="list", action=Stale(before)))
    stale = client.get(PLACE, params={"limit": "500", "resourceVersion": "0"}).json()
    assert stale["metadata"]["resourceVersion"] == before
    assert "newer" not in {each["metadata"]["name"] for each in stale["items"]}
    faults.clear()
    assert "newer" in {each["metadata"]["name"] for each in client.get(PLACE).json()["items"]}


def test_lines_come_into_a_watch_as_garbage_twice_or_cut(client, faults):
    now = client.get(PLACE).json()["metadata"]["resourceVersion"]
    faults.add(Rule(verb="watch", action=Insert(b"{garbage"), times=1))
    faults.add(Rule(verb="watch", action=Twice(), times=1))
    faults.add(Rule(verb="watch", action=CutLine()))
    for name in ("one", "two", "three"):
        create(client, name)
    with watching(client, resourceVersion=now) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "{garbage"
        assert names([next(lines), next(lines), next(lines)]) == ["one", "two", "two"]
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


def test_a_watch_falls_silent_and_stays_open(client, faults):
    """For good: also when the weather is fair again, for others."""
    now = client.get(PLACE).json()["metadata"]["resourceVersion"]
    with watching(client, resourceVersion=now) as answer:
        lines = answer.iter_lines()
        create(client, "heard")
        assert names([next(lines)]) == ["heard"]
        silence = faults.add(Rule(verb="watch", action=Silence()))
        create(client, "unheard")
        until(lambda: silence.hits == 1)
        faults.clear()
        create(client, "unheard-too")
        faults.say(b"{}")
        assert faults.watches(resource="configmaps") == 1
        with pytest.raises(httpx.ReadTimeout):
            next(lines)


def test_watches_that_run_are_spoken_into_and_cut(client, faults):
    now = client.get(PLACE).json()["metadata"]["resourceVersion"]
    with watching(client, resourceVersion=now) as answer:
        lines = answer.iter_lines()
        until(lambda: faults.watches(verb="watch") == 1)
        faults.say(b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}', resource="configmaps")
        assert json.loads(next(lines))["type"] == "ERROR"
        faults.cut_watches(resource="secrets")
        assert faults.watches() == 1
        faults.cut_watches(resource="configmaps")
        with pytest.raises(httpx.TransportError):
            next(lines)
    until(lambda: faults.watches() == 0)


def test_a_client_that_leaves_a_watch_leaves_the_server_too(client, faults, breakable):
    ends = ends_of_watches(breakable)
    now = client.get(PLACE).json()["metadata"]["resourceVersion"]
    with watching(client, resourceVersion=now):
        until(lambda: faults.watches() == 1)
    until(lambda: faults.watches() == 0)
    until(lambda: ends_of_watches(breakable) == ends + 1)


def ends_of_watches(breakable) -> int:
    return sum(call.verb == "watch" and call.user_agent == "the-test" and call.stage == "ResponseComplete" for call in breakable.audit())


def test_nobody_is_there_until_somebody_is(client, faults):
    assert client.get(PLACE).status_code == 200
    faults.refuse()
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            client.get(PLACE)
    faults.clear()
    assert client.get(PLACE).status_code == 200


def test_the_servers_restart_is_seen_through_it(client, faults, breakable):
    assert client.get(PLACE).status_code == 200
    breakable.stop("apiserver", grace=0)
    with pytest.raises(httpx.TransportError):
        client.get(PLACE)
    breakable.start("apiserver")
    assert client.get(PLACE).status_code == 200


def test_chance_is_the_seeds():
    def drawn(seed: int) -> list[bool]:
        script = Script(Random(seed))
        script.add(Rule(chance=0.5, action=Status(500)))
        return [isinstance(script.on_request(read("GET", PLACE, began=0)), Status) for _ in range(64)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 16 < sum(drawn(1)) < 48


def test_rules_skip_count_and_the_first_that_matches_decides():
    script = Script(Random(0))
    script.add(Rule(name="spared", action=Forward()))
    script.add(Rule(verb="get,list", resource="configmaps", skip=1, times=2, action=Status(500)))
    targets = [f"{PLACE}/spared", f"{PLACE}/a", f"{PLACE}/b", PLACE, f"{PLACE}/d", "/api/v1/secrets"]
    acted = [type(script.on_request(read("GET", target, began=0))).__name__ for target in targets]
    assert acted == ["Forward", "Forward", "Status", "Status", "Forward", "Forward"]


@pytest.mark.parametrize(
    ("method", "target", "seen"),
    [
        ("GET", "/api/v1/namespaces", ("list", "", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "namespaces", "", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "namespaces", "", "a", "finalize")),
        ("PATCH", "/apis/g/v1/namespaces/a/things/b/status", ("patch", "g", "things", "a", "b", "status")),
        ("GET", "/apis/g/v1/things?watch=true", ("watch", "g", "things", "", "", "")),
        ("GET", "/apis/g/v1/namespaces/a/things?watch=0&limit=5", ("list", "g", "things", "a", "", "")),
        ("DELETE", "/apis/g/v1/namespaces/a/things", ("deletecollection", "g", "things", "a", "", "")),
        ("DELETE", "/apis/g/v1/namespaces/a/things/b", ("delete", "g", "things", "a", "b", "")),
        ("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", ("create", "", "serviceaccounts", "a", "b", "token")),
        ("GET", "/version", ("get", "", "", "", "", "")),
        ("GET", "/apis/g/v1", ("get", "", "", "", "", "")),
    ],
)
def test_a_request_is_read_as_rbac_reads_it(method, target, seen):
    found = read(method, target, began=0)
    assert (found.verb, found.group, found.resource, found.namespace, found.name, found.subresource) == seen
