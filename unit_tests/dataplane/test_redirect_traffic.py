"""What a pod's connections meet when nftables really redirects them to the generated Envoy: a namespace, servers, a resolver.

The client always dials CHOSEN, where only a decoy listens: an answer from the server shows that the name was dialled.
"""

import json
import shutil
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dataplane.certificates import make_ca, make_leaf
from dataplane.compile import Pair, Plan
from dataplane.listeners import DnsCache
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.redirect import Families
from dataplane.sidecar import SidecarOptions, VolumeLayout, compile_sidecar
from policy.program import SecretKeyRef
from unit_tests.dataplane import pod, pod_servers
from unit_tests.dataplane.policies import NAMESPACE, block, bypass, plan, token

NOW = datetime.now(UTC)  # noqa: TID251 - certificates that a real Envoy and a real clock judge
TOKEN = "t0ken-that-no-pod-holds"
HOSTS = ("api.test", "good.test", "a.wild.test", "hole.wild.test", "both.test", "six.test", "bothapi.test", "bothlate.test", pod.INSIDE)


def no_namespace() -> str | None:
    """Why the test cannot run here, if so."""
    if not (shutil.which("unshare") and shutil.which("nft") and shutil.which("ip")):
        return "needs unshare, ip and nft (util-linux, iproute2, nftables)"
    rules = "table inet t { chain c { type nat hook output priority 0; tcp dport 1 redirect to :2; }; }"
    found = subprocess.run([*UNSHARE, "nft", rules], capture_output=True, text=True, check=False)
    return f"no network namespace with redirect rules here: {found.stderr.strip()[:200]}" if found.returncode else None


UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--kill-child")
WHY_NOT = no_namespace()
pytestmark = [pytest.mark.envoy, pytest.mark.isolation, pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))]


class Played:
    """The outcomes of the steps, and what Envoy's log says of them."""

    def __init__(self, outcomes: list[dict[str, Any]], log: list[dict[str, Any]]) -> None:
        self.outcomes = outcomes
        self.log = log


def files_of(policy: Plan, directory: Path, kind: str = pod.DUAL, **options: Any) -> dict[str, str]:
    layout = VolumeLayout(directory=str(directory), projected=False, log=str(directory / "access.log"))
    ca = directory / "ca.json"
    if not ca.exists():
        pair = make_ca(now=NOW, name="Interceptor")
        ca.write_text(json.dumps([pair.cert_pem, pair.key_pem]))
    cert, key = json.loads(ca.read_text())
    authority = replace(make_ca(now=NOW, name="x"), cert_pem=cert, key_pem=key)
    leafs = []
    if policy.intercepted_names:
        leaf = make_leaf(authority, policy.intercepted_names, now=NOW)
        leafs = [Pair(certificate=leaf.cert_pem, key=leaf.key_pem)]
    dns = DnsCache(resolver=pod.RESOLVER6 if kind == pod.IPV6 else pod.RESOLVER, refused=NOT_PUBLIC_RANGES)
    chosen = SidecarOptions(layout=layout, admin_socket=str(directory / "admin.sock"), dns=dns, **options)
    credentials = {SecretKeyRef(namespace=NAMESPACE, name="key", key="apiKey"): TOKEN}
    return dict(compile_sidecar(policy, credentials, tuple(leafs), chosen).files)


def run(directory: Path, policy: Plan, steps: list[dict[str, Any]], kind: str = pod.DUAL, **options: Any) -> Played:
    world = make_ca(now=NOW, name="World")
    server = make_leaf(world, HOSTS, now=NOW)
    files = files_of(policy, directory, kind, **options)
    files |= {"server.crt": server.cert_pem, "server.key": server.key_pem, "upstream-roots.pem": world.cert_pem}
    files["trusted.pem"] = world.cert_pem + json.loads((directory / "ca.json").read_text())[0]
    for name, text in files.items():
        (directory / name).write_text(text)
    command = [*UNSHARE, sys.executable, "-m", "unit_tests.dataplane.pod", str(directory), kind]
    told = json.dumps(steps)
    found = subprocess.run(command, input=told, capture_output=True, text=True, timeout=100, check=False, cwd=Path(__file__).parents[2])
    assert found.returncode == 0, found.stderr + found.stdout
    played = json.loads(found.stdout)
    return Played(played["outcomes"], [json.loads(line) for line in played["log"].splitlines()])


def by_label(played: Played, steps: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return dict(zip(steps, played.outcomes, strict=True))


def hello(name: str | None) -> str:
    """The first bytes of a TLS client, in hexadecimal."""
    context = ssl.create_default_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read().hex()


def renamed(name: str, written: bytes) -> str:
    """A TLS hello whose name is spelt in a way that a client library would not write; both have the same length."""
    raw = bytes.fromhex(hello(name))
    assert raw.count(name.encode()) == 1
    assert len(written) == len(name)
    return raw.replace(name.encode(), written).hex()


OPEN = plan(
    token("key", "api.test"),
    bypass("hole", "hole.wild.test"),
    token("wild", "*.wild.test"),
    block("bad", "bad.test"),
    block("bad-below", "*.bad.test"),
    block("not-here", "good.test", ports=[8443]),
    block("no-path", "a.wild.test", paths=[{"type": "Prefix", "value": "/no"}]),
    token("by-address", pod.INSIDE),
    block("bad-address", pod.BLOCKED),
)
OPEN_STEPS: dict[str, dict[str, Any]] = {
    "passes": {"do": "https", "port": 443, "name": "good.test"},
    "passes on another port": {"do": "https", "port": 8443, "name": "hole.wild.test"},
    "other port refused": {"do": "https", "port": 8443, "name": "good.test"},
    "blocked": {"do": "https", "port": 443, "name": "bad.test"},
    "blocked in capitals": {"do": "raw", "port": 443, "send": renamed("bad.test", b"BAD.tesT")},
    "blocked below": {"do": "https", "port": 443, "name": "x.y.bad.test"},
    "trailing dot": {"do": "raw", "port": 443, "send": renamed("xbad.test", b"bad.test.")},
    "address as a name": {"do": "raw", "port": 443, "send": renamed("aa.test", b"8.8.8.8")},
    "private address as a name": {"do": "raw", "port": 443, "send": renamed("aaa.test", b"10.9.9.9")},
    "intercepted": {"do": "https", "port": 443, "name": "api.test", "headers": {"authorization": "Bearer mine"}},
    "intercepted in capitals": {"do": "https", "port": 443, "name": "API.test"},
    "another host inside": {"do": "https", "port": 443, "name": "api.test", "host": "good.test"},
    "wildcard": {"do": "https", "port": 443, "name": "a.wild.test"},
    "wildcard, another host inside": {"do": "https", "port": 443, "name": "a.wild.test", "host": "b.wild.test"},
    "wildcard, blocked path": {"do": "https", "port": 443, "name": "a.wild.test", "path": "/no/way"},
    "http": {"do": "http", "port": 80, "host": "good.test"},
    "http with key": {"do": "http", "port": 80, "host": "api.test"},
    "http blocked": {"do": "http", "port": 80, "host": "bad.test"},
    "http on the TLS port": {"do": "http", "port": 443, "host": "good.test:8080"},
    "raw": {"do": "raw", "port": 25, "send": b"EHLO\r\n".hex(), "want": 15},
    "raw to a blocked address": {"do": "raw", "port": 25, "address": pod.BLOCKED, "send": b"EHLO\r\n".hex()},
    "raw to a private address": {"do": "raw", "port": 25, "address": pod.PRIVATE, "send": b"EHLO\r\n".hex()},
    "raw over IPv6": {"do": "raw", "port": 25, "address": pod.CHOSEN6, "send": b"EHLO\r\n".hex(), "want": 15},
    "no name, over IPv6": {"do": "raw", "port": 443, "address": pod.CHOSEN6, "send": hello(None)},
    "no name, intercepted address": {"do": "https", "port": 443, "address": pod.INSIDE, "check": False, "host": pod.INSIDE},
    "no name, another host inside": {"do": "https", "port": 443, "address": pod.INSIDE, "check": False, "host": "api.test"},
    "raw to an intercepted address": {"do": "raw", "port": 25, "address": pod.INSIDE, "send": b"EHLO\r\n".hex()},
    "not redirected, raw": {"do": "raw", "port": pod.PORT, "address": "127.0.0.1", "send": b"EHLO\r\n".hex()},
    "not redirected, http": {"do": "http", "port": pod.PORT, "address": "127.0.0.1", "host": "api.test"},
}


@pytest.fixture(scope="module")
def open_policy(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, Any]], Played]:
    played = run(tmp_path_factory.mktemp("open"), OPEN, list(OPEN_STEPS.values()))
    return by_label(played, OPEN_STEPS), played


def refused(outcome: dict[str, Any]) -> bool:
    """Closed without an answer; nothing was dialled and no name was asked for."""
    silent = "error" in outcome or outcome.get("received") == ""
    return silent and not outcome["requests"] and not outcome["dialled"] and not outcome["names"]


def test_tls_goes_to_the_name_that_it_shows(open_policy):
    """End to end, to the server behind the name and not to the address that the client chose."""
    outcome = open_policy[0]["passes"]
    assert (outcome["status"], outcome["issuer"], outcome["dialled"]) == (200, "World", [])
    assert outcome["names"] == ["good.test"]


def test_tls_goes_to_the_port_that_was_dialled(open_policy):
    """And a name that is let through below an intercepted wildcard stays end to end."""
    outcome = open_policy[0]["passes on another port"]
    assert (outcome["status"], outcome["issuer"]) == (200, "World")
    assert [request["port"] for request in outcome["requests"]] == [8443]


BLOCKED = ("other port refused", "blocked", "blocked in capitals", "blocked below")
NO_NAMES = ("trailing dot", "address as a name", "private address as a name")


@pytest.mark.parametrize("label", [*BLOCKED, *NO_NAMES])
def test_blocked_names_are_refused_unasked(open_policy, label):
    """The connection is closed before a name is resolved or anything dialled, however the name is spelt."""
    assert refused(open_policy[0][label]), open_policy[0][label]


def test_refusals_are_logged_with_their_rule(open_policy):
    """The log names the rule that refused a connection."""
    details = {line["sni"]: line["details"] for line in open_policy[1].log if line.get("chain") == "pass" and line["details"]}
    assert details["bad.test"] == 'rbac_access_denied_matched_policy[["blocked","agents/profile/bad","Blocked"]]'
    assert '"refused","MalformedHost"' in details["8.8.8.8"]


@pytest.mark.parametrize("label", ["intercepted", "intercepted in capitals", "wildcard"])
def test_intercepted_names_get_the_credential(open_policy, label):
    """The client trusts our certificate; the server sees the key that the client never had."""
    outcome = open_policy[0][label]
    assert (outcome["status"], outcome["issuer"]) == (200, "Interceptor")
    assert outcome["requests"][0]["headers"]["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("label", ["another host inside", "wildcard, another host inside", "no name, another host inside"])
def test_host_and_shown_name_are_one(open_policy, label):
    """421, and the server hears nothing."""
    assert open_policy[0][label]["status"] == 421
    assert not open_policy[0][label]["requests"]


def test_rules_inside_an_intercepted_host(open_policy):
    """A path is judged inside TLS."""
    outcome = open_policy[0]["wildcard, blocked path"]
    assert outcome["status"] == 403
    assert not outcome["requests"]


def test_plain_http_is_judged_as_such_on_any_port(open_policy):
    """By its Host line, which is also what is dialled."""
    outcomes = open_policy[0]
    assert outcomes["http"]["status"] == 200
    assert outcomes["http with key"]["requests"][0]["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert outcomes["http blocked"]["status"] == 403
    assert [request["port"] for request in outcomes["http on the TLS port"]["requests"]] == [8080]
    assert not any(outcomes[label]["dialled"] for label in ("http", "http with key", "http blocked", "http on the TLS port"))


@pytest.mark.parametrize("label", ["raw", "raw over IPv6"])
def test_raw_bytes_pass_to_where_they_were_sent(open_policy, label):
    """Nothing in this policy refuses what no rule can judge."""
    assert bytes.fromhex(open_policy[0][label]["received"]) == pod_servers.BANNER + b"EHLO\r\n"


@pytest.mark.parametrize("label", ["raw to a blocked address", "raw to a private address", "raw to an intercepted address"])
def test_raw_bytes_to_refused_addresses(open_policy, label):
    """Blocked by a rule, or not public: not even dialled."""
    assert refused(open_policy[0][label]), open_policy[0][label]


def test_an_address_takes_the_place_of_a_name(open_policy):
    """Without SNI an intercepted address ends TLS here, and its rules hold; another one is judged by address and passed on."""
    outcomes = open_policy[0]
    assert outcomes["no name, over IPv6"]["dialled"] == [f"{pod.CHOSEN6}:443"]
    assert outcomes["no name, intercepted address"]["requests"][0]["headers"]["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("label", ["not redirected, raw", "not redirected, http"])
def test_what_was_not_redirected_is_closed(open_policy, label):
    """Another pod gets no credential from this one's proxy, and Envoy does not dial itself."""
    assert refused(open_policy[0][label]), open_policy[0][label]


CLOSED = plan(bypass("good", "good.test"), bypass("chosen", pod.CHOSEN), block("nothing-else", "*"))
CLOSED_STEPS: dict[str, dict[str, Any]] = {
    "bypassed": {"do": "https", "port": 443, "name": "good.test"},
    "unknown": {"do": "https", "port": 443, "name": "data-in-a-name.evil.test"},
    "raw": {"do": "raw", "port": 25, "send": b"EHLO\r\n".hex()},
    "no name": {"do": "raw", "port": 443, "send": hello(None)},
    "http": {"do": "http", "port": 80, "host": "data-in-a-name.evil.test"},
    "nothing said": {"do": "raw", "port": 25},
}


@pytest.fixture(scope="module")
def closed_policy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return by_label(run(tmp_path_factory.mktemp("closed"), CLOSED, list(CLOSED_STEPS.values()), families=Families.IPV4), CLOSED_STEPS)


def test_what_is_bypassed_passes_where_all_else_is_blocked(closed_policy):
    """The control: the same client, the same address, an allowed name. Nothing is intercepted here."""
    assert (closed_policy["bypassed"]["status"], closed_policy["bypassed"]["issuer"]) == (200, "World")


@pytest.mark.parametrize("label", ["unknown", "raw", "no name", "nothing said"])
def test_all_else_is_closed_without_a_question_to_dns(closed_policy, label):
    """A name in a refused hello carries nothing out, and what cannot be judged is closed where everything is blocked."""
    assert refused(closed_policy[label]), closed_policy[label]


def test_blocked_http_is_answered(closed_policy):
    """HTTP can be told why; its name is not resolved either."""
    assert closed_policy["http"]["status"] == 403
    assert not closed_policy["http"]["names"]


BEFORE = plan(token("key", "api.test"))
AFTER = plan(token("key", "api.test"), block("late", "good.test"))


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("edited")
    old, new = files_of(BEFORE, directory), files_of(AFTER, directory)
    changed = {name: text for name, text in new.items() if old.get(name) != text and not name.startswith("sds-leaf")}
    keep = {"do": "keep", "key": "one", "port": 443, "name": "good.test"}
    steps = {
        "opened": keep,
        "server first": {"do": "raw", "port": 25, "want": 11},
        "edit": {"do": "write", "files": changed},
        "open one goes on": keep,
        "new one": {"do": "https", "port": 443, "name": "good.test"},
    }
    return {**by_label(run(directory, BEFORE, list(steps.values())), steps), "changed": {"files": sorted(changed)}}


def test_an_edited_rule_changes_no_listener(edited):
    """What a rule means of names travels in a file of its own; routes are the other."""
    assert edited["changed"]["files"] == ["ecds-names.json", "rds-plain.json"]


def test_an_edited_rule_holds_for_the_next_connection(edited):
    """The open stream is not cut; the next connection to the blocked name is refused."""
    assert edited["opened"]["status"] == 200
    assert edited["edit"]["updated"]
    assert (edited["open one goes on"]["status"], edited["open one goes on"]["same"]) == (200, True)
    assert refused(edited["new one"]), edited["new one"]


def test_a_server_may_speak_first(edited):
    """Where no address is refused, nothing waits for the client to speak."""
    assert bytes.fromhex(edited["server first"]["received"]) == pod_servers.BANNER
